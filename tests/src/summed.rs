//! Calls that are added up in the kernel.
use crate::{Memtrace, PAGE, Pages, Serving, assert_account, unless_skipped, wait_until};
use serde_json::Value;

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
    let series = format!("memtrace_probe_{what}_total{{probe=\"{probe}\"}} ");
    let page = agent.ok("/metrics");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0.0, |value| value.parse().expect("a number"))
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

/// By an agent that finds the `pages` workload, and by a `stat` beside it that is told each call.
#[track_caller]
pub fn sums_are_those_of_the_calls(binary: &str) {
    unless_skipped(|| compare(binary));
}

/// What is told of the process by the agent, what is not as it should be, and what neither was told of.
#[track_caller]
fn compare(binary: &str) -> (Value, Vec<String>, u64) {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("agent.toml");
    // An emulated machine may take long over an answer.
    std::fs::write(&config, "[http]\nrequest_timeout = \"5m\"\n").expect("written");
    let mut pages = Pages::start(binary, &[]);
    let pid = pages.pid();
    let agent = Serving::start(&["--config", config.to_str().expect("UTF-8"), "--no-save", "--exe", binary]);
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
    let [summed, told] = counts();
    let account = agent.memtrace.signalled(libc::SIGTERM).json().pop().expect("an account");
    assert_account(&account);
    assert_eq!(account["account"]["lost"], 0, "{account}");

    let advise = CALLS.iter().filter(|call| call.starts_with("madvise")).count() as f64;
    let map = CALLS.iter().filter(|call| call.starts_with('m')).count() as f64 - advise;
    let returned = (300 + 16 + 100) * PAGE;
    let mut differ = Vec::new();
    let mut want = |is_right: bool, what: String| differ.extend((!is_right).then_some(what));
    let (of_agent_figures, of_stat) = (figures(&of_agent), figures(&one_by_one["processes"][0]));
    for (one, other) in of_agent_figures.iter().zip(&of_stat) {
        want(one == other, format!("{one:?} is not {other:?}"));
    }
    want(of_agent_figures.len() == of_stat.len(), format!("{of_agent_figures:?} is not {of_stat:?}"));
    want(
        of_agent["advise"]["dontneed"]["calls"] == 2 && of_agent["advise"]["cold"]["calls"] == 1,
        of_agent["advise"].to_string(),
    );
    want(of_agent["returned_bytes"] == returned, of_agent["returned_bytes"].to_string());
    want(of_agent["refaulted_bytes"] == 70 * PAGE, of_agent["refaulted_bytes"].to_string());
    let [by_advise, by_map] = [0, 1].map(|probe| [summed[probe] - was_summed[probe], told[probe] - was_told[probe]]);
    want(by_advise == [advise - 1.0, 1.0], format!("COLD alone is told: {by_advise:?}"));
    want(by_map[0] >= map && by_map[1] == 0.0, format!("no mapping is told: {by_map:?}"));
    let skipped = [&account, &one_by_one].map(|of| &of["account"]["skipped_runs"]);
    let unseen = [&of_agent, &one_by_one["processes"][0]].map(|of| &of["unseen_faults"]);
    let missing = skipped.iter().chain(&unseen).filter_map(|of| of.as_u64()).sum();
    (of_agent, differ, missing)
}
