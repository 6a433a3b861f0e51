//! Five thousand Go programs that come and go before the eyes of the agent: none is missed, and none stays.
use crate::{agent, one, series};
use memtrace_tests::{Child, Serving, assert_account, open_files, status_bytes, truth_binary, wait_until};
use serde_json::json;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const LIVES: u64 = 5000;
/// At a time.
const WIDTH: u64 = 4;
/// Processes with series of their own; with one more of all others.
const SERIES: usize = 8;
/// What the black box may remember of those that were (docs/limits.md), and what is on its way.
const GROWTH_MAX_BYTES: u64 = 64 << 20;

/// More than the ring of events takes, twice, and less than with that of lives.
const RINGS_BYTES: u64 = 4 << 20;

/// What has become of processes; the last is of those that were never met.
#[track_caller]
fn lives(page: &str) -> [Option<f64>; 5] {
    let gone = |reason: &str| series(page, &format!("memtrace_processes_gone_total{{reason=\"{reason}\"}}"));
    let [met, unidentified] =
        ["met", "unidentified"].map(|of| series(page, &format!("memtrace_processes_{of}_total ")));
    [met, gone("ended"), gone("unheard"), gone("not_meant"), unidentified]
}

/// Processes that have a series of this name.
fn count(page: &str, name: &str) -> usize {
    page.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count()
}

/// Names of everything that is told, without whose.
fn families(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect()
}

/// Of the most at any time: seconds until an answer, series, RSS, open files, mapped rings.
#[derive(Debug, Default)]
struct Most {
    answer: Duration,
    answers: u32,
    series: usize,
    rss_bytes: u64,
    files: usize,
    rings_bytes: u64,
}

impl Most {
    fn look(&mut self, agent: &Serving) {
        let since = Instant::now();
        let page = agent.ok("/metrics");
        self.answer = self.answer.max(since.elapsed());
        self.answers += 1;
        self.series = self.series.max(count(&page, "memtrace_process_resident_memory_bytes"));
        self.rss_bytes = self.rss_bytes.max(status_bytes(agent.memtrace.pid(), "VmRSS"));
        self.files = self.files.max(open_files(agent.memtrace.pid()));
        self.rings_bytes = self.rings_bytes.max(rings_bytes(agent.memtrace.pid()));
    }
}

/// Of BPF's maps in its address space: rings, twice.
fn rings_bytes(pid: u32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("the mappings");
    let bytes = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some(u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?)
    };
    maps.lines().filter(|line| line.ends_with("anon_inode:bpf-map")).filter_map(bytes).sum()
}

#[test]
fn five_thousand_programs_are_met_and_let_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    std::fs::write(&config, format!("[http]\nmax_series_processes = {SERIES}\n")).expect("written");
    let mut brood = Child::start(&mut Command::new(truth_binary().with_file_name("brood")));
    assert_eq!(brood.line().as_deref(), Some("ready"));
    let pid = brood.pid();
    let agent = agent(&["--config", config.to_str().expect("UTF-8"), "-p", &pid.to_string()]);
    agent.until_ready();
    // All it will ever have of its own is there: what the first children take, too, and the one that Go's os starts before
    // them to try pidfds on.
    brood.say("100 4");
    assert_eq!(brood.line().as_deref(), Some("100"));
    let settled = |ended: f64| {
        wait_until(&format!("{ended} ends, and the parent alone"), || {
            let page = agent.ok("/metrics");
            let [met, gone, ..] = lives(&page);
            let is_settled = gone >= Some(ended) && met == gone.map(|gone| gone + 1.0);
            is_settled.then_some(page)
        })
    };
    let before = settled(101.0);
    // The ring that tells of lives is not mapped while there is nothing to tell: what comes then is not lost either.
    let rest =
        wait_until("a quiet ring", || Some(rings_bytes(agent.memtrace.pid())).filter(|bytes| *bytes < RINGS_BYTES));
    let began = lives(&before)[1].expect("a count");
    let (files, rss_bytes) = (open_files(agent.memtrace.pid()), status_bytes(agent.memtrace.pid(), "VmRSS"));

    let (is_over, since, mut most) = (AtomicBool::new(false), Instant::now(), Most::default());
    std::thread::scope(|scope| {
        let spawning = scope.spawn(|| {
            brood.say(&format!("{LIVES} {WIDTH}"));
            let line = brood.line();
            is_over.store(true, Relaxed);
            line
        });
        while !is_over.load(Relaxed) {
            most.look(&agent);
        }
        assert_eq!(spawning.join().expect("an answer"), Some(LIVES.to_string()));
    });
    println!("{LIVES} processes in {:?}; at most {most:?}", since.elapsed());
    assert!(rest > 0 && most.rings_bytes > RINGS_BYTES, "{rest} bytes of rings, then {most:?}");
    assert!(most.answers > 1 && most.answer < Duration::from_secs(5), "{most:?}");
    assert!(most.series <= SERIES + 1, "{most:?}");

    let ended = began + LIVES as f64;
    let after = settled(ended);
    assert_eq!(lives(&after), [Some(ended + 1.0), Some(ended), Some(0.0), Some(0.0), Some(0.0)]);
    for probe in ["fork", "exec", "exit"] {
        let name = format!("memtrace_probe_submitted_total{{probe=\"{probe}\"}}");
        let [before, after] = [&before, &after].map(|page| series(page, &name).expect("a count"));
        assert_eq!(after - before, LIVES as f64, "{probe}");
    }
    let lost = |line: &str| {
        ["memtrace_probe_lost_total{", "memtrace_shed_records_total "].iter().any(|of| line.starts_with(of))
    };
    let lost: Vec<&str> = after.lines().filter(|line| lost(line) && !line.ends_with(" 0")).collect();
    assert_eq!(lost, [""; 0], "nothing is lost");
    for name in ["memtrace_process_resident_memory_bytes", "memtrace_go_heap_inuse_bytes"] {
        let own = one(&after, |line| line.starts_with(name) && line.contains(&format!("pid=\"{pid}\"")));
        assert!(own > Some(0.0) && count(&after, name) <= 2, "{name}: {own:?}");
    }
    let new: Vec<&str> = families(&after).into_iter().filter(|of| !families(&before).contains(of)).collect();
    assert_eq!(new, [""; 0], "{after}");
    let list = agent.json("/api/v1/processes");
    let left: Vec<_> = list["processes"].as_array().expect("processes").iter().map(|of| &of["pid"]).collect();
    assert_eq!(left, [&json!(pid)], "nobody is left over");
    let own = agent.memtrace.pid();
    wait_until("no more files than before", || (open_files(own) <= files).then_some(()));
    let peak = status_bytes(own, "VmHWM");
    println!(
        "RSS {} KiB before, {} KiB at most; {files} files before, {} at most",
        rss_bytes >> 10,
        peak >> 10,
        most.files
    );
    assert!(peak <= rss_bytes + GROWTH_MAX_BYTES, "{peak} bytes, {rss_bytes} before");

    let since = Instant::now();
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    let took = since.elapsed();
    println!("ended {took:?} after SIGTERM; {}", ended.stderr);
    assert!(ended.code() == Some(0) && took < Duration::from_secs(2), "{took:?}: {}", ended.stderr);
    let account = ended.json().pop().expect("an account");
    assert_account(&account);
    assert_eq!(account["account"]["lost"], 0, "{account}");
    brood.close_stdin();
    assert!(brood.end().success());
}
