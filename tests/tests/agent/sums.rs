//! Whom nobody named is not told of call by call: the kernel adds up, and the sums are those of the calls.
use crate::{agent, series};
use memtrace_tests::{Memtrace, PAGE, Pages, Serving, assert_account, dossiers, saved_dossiers, wait_until};
use serde_json::Value;

const PAGES: &str = env!("CARGO_BIN_EXE_pages");

/// Each kind of call that is summed, some in vain, and one that is told: nobody's runtime gives COLD.
const CALLS: [&str; 14] = [
    "mmap 0p 1024p",
    "madvise 0p 1024p nohugepage",
    "write 0p 1024p",
    "madvise 0p 300p dontneed",
    "madvise 0p 300p dontneed",
    "madvise 500p 100p cold",
    "madvise 600p 100p free",
    "write 0p 70p",
    "mmap 2048p 64p",
    "write 2048p 64p",
    "munmap 2064p 16p",
    "munmap 2064p 16p",
    "munmap 900p 100p",
    "mremap 2048p 16p 8p",
];

fn counted(agent: &Serving, what: &str, probe: &str) -> f64 {
    series(&agent.ok("/metrics"), &format!("memtrace_probe_{what}_total{{probe=\"{probe}\"}}")).unwrap_or(0.0)
}

/// What does not depend on who counts: a latency that is added up is an estimate.
fn figures(process: &Value) -> Vec<(String, Value)> {
    let mut calls = process["advise"].as_object().expect("advice").clone();
    calls.insert("munmap".to_owned(), process["munmap"].clone());
    for call in calls.values_mut() {
        let latency = call.as_object_mut().expect("a call").remove("latency_ns").expect("a latency");
        assert!(latency["max"].as_u64() >= latency["p50"].as_u64() && latency["p50"].as_u64() > Some(0), "{latency}");
    }
    let named = ["mmap", "mremap", "brk", "returned_bytes", "refaulted_bytes", "kept_bytes", "effectiveness_ratio"];
    calls.into_iter().chain(named.map(|of| (of.to_owned(), process[of].clone()))).collect()
}

#[test]
fn what_is_added_up_is_what_one_who_is_told_each_call_counts() {
    let mut pages = Pages::start(PAGES, &[]);
    let pid = pages.pid();
    let agent = agent(&["--exe", PAGES]);
    agent.until_ready();
    let stat = Memtrace::attach(pid, &[]);
    // Others that are started are summed too, until it is known who they are.
    let counts = || ["summed", "submitted"].map(|what| ["advise", "map"].map(|probe| counted(&agent, what, probe)));
    let [was_summed, was_told] = counts();

    CALLS.iter().for_each(|call| drop(pages.run(call)));
    let path = format!("/api/v1/processes/{pid}");
    let of_agent = wait_until("the last of them", || {
        let process = agent.json(&path);
        (process["mremap"]["calls"] == 1).then_some(process)
    });
    let one_by_one = stat.interrupt().summary();
    let of_stat = &one_by_one["processes"][0];
    assert_eq!(figures(&of_agent), figures(of_stat));
    assert_eq!(of_agent["advise"]["dontneed"]["calls"], 2, "{of_agent}");
    assert_eq!(of_agent["advise"]["cold"]["calls"], 1, "{of_agent}");
    let returned = (300 + 16 + 100) * PAGE;
    assert_eq!((&of_agent["returned_bytes"], &of_agent["refaulted_bytes"]), (&returned.into(), &(70 * PAGE).into()));

    let advise = CALLS.iter().filter(|call| call.starts_with("madvise")).count() as f64;
    let map = CALLS.iter().filter(|call| call.starts_with('m')).count() as f64 - advise;
    let [summed, told] = counts();
    assert_eq!((summed[0] - was_summed[0], told[0] - was_told[0]), (advise - 1.0, 1.0), "COLD alone is told");
    assert!(summed[1] - was_summed[1] >= map && told[1] == was_told[1], "{summed:?} {was_summed:?} {told:?}");
    let account = agent.memtrace.signalled(libc::SIGTERM).json().pop().expect("an account");
    assert_account(&account);
    assert_eq!(account["account"]["lost"], 0, "{account}");
}

/// Between two points, just before its end.
#[test]
fn the_last_calls_of_one_that_is_killed_are_in_its_dossier() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pages = Pages::start(PAGES, &[]);
    let memtrace = Memtrace::watching(directory.path(), &["--trigger", "kill", "--exe", PAGES]);
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p", "madvise 0p 300p dontneed"]);
    pages.signal(libc::SIGKILL);
    wait_until("its dossier", || saved_dossiers(directory.path()).pop());
    let ended = memtrace.interrupt();
    let [dossier] = &dossiers(&ended)[..] else { panic!("one dossier: {}", ended.stderr) };
    assert_eq!(dossier["ledger"]["returned_bytes"], 300 * PAGE, "{dossier:#}");
}
