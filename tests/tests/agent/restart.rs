//! The agent is killed and started again while its targets live on: what counts on says so, what begins anew says that.
use crate::series;
use memtrace_tests::{Memtrace, PAGE, Pages, Serving, Truth, quiet_truth, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Counters of something else than memtrace's own run: they go on. All others begin at 0 with `memtrace_self_start_time_seconds`.
const GO_ON: &[&str] = &[
    "memtrace_go_allocated_bytes_total",
    "memtrace_go_allocations_total",
    "memtrace_go_gc_cycles_total",
    "memtrace_oom_kills_total",
    "memtrace_deaths_total",
];

#[track_caller]
fn start(home: &Path, pids: &[u32]) -> Serving {
    let [config, dossiers, recording] = ["agent.toml", "dossiers", "recording"].map(|name| home.join(name));
    let recorded = format!("directory = {recording:?}\nflush_interval = \"200ms\"\n");
    fs::write(&config, format!("[recording]\nenabled = true\n{recorded}")).expect("written");
    let [config, dossiers] = [&config, &dossiers].map(|path| path.to_str().expect("UTF-8"));
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let agent = Serving::start(&["--dir", dossiers, "--config", config, "-p", &pids.join(",")]);
    agent.until_ready();
    agent
}

/// Series of counters, by name and labels.
fn counters(page: &str) -> BTreeMap<String, f64> {
    let kinds: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let of = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_counter = kinds.get(series.split('{').next()?) == Some(&"counter");
        is_counter.then(|| (series.to_owned(), value.parse().expect("a number")))
    };
    page.lines().filter_map(of).collect()
}

fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// The page on which this much was returned by the process.
#[track_caller]
fn until_returned(agent: &Serving, pages: &Pages, returned: u64) -> String {
    wait_until(&format!("{returned} pages returned"), || {
        let page = agent.ok("/metrics");
        let of = crate::value(&page, "memtrace_returned_bytes_total", &format!("pid=\"{}\"", pages.pid()));
        assert!(of <= Some((returned * PAGE) as f64), "{of:?}");
        (of == Some((returned * PAGE) as f64)).then_some(page)
    })
}

/// What the program counts is what is shown of it.
#[track_caller]
fn until_shown(agent: &Serving, truth: &mut Truth) -> String {
    let (said, ()) = truth.compare(|| ());
    let pid = format!("pid=\"{}\"", truth.pid());
    wait_until("its own figures", || {
        let page = agent.ok("/metrics");
        let shown = |name: &str| crate::value(&page, name, &pid);
        let is_told = shown("memtrace_go_gc_cycles_total") == said["num_gc"].as_f64()
            && shown("memtrace_go_allocated_bytes_total") == said["total_alloc_bytes"].as_f64();
        is_told.then_some(page)
    })
}

#[test]
fn no_counter_goes_back_after_a_kill_without_another_start_being_told() {
    let home = tempfile::tempdir().expect("a directory");
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let [mut truth, dies, dies_later] = [(); 3].map(|()| quiet_truth());
    let before_s = now_s();
    let mut agent = start(home.path(), &[pages.pid(), truth.pid(), dies.pid()]);
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p", "madvise 0p 100p dontneed"]);
    truth.all(&["alloc 24", "free", "gc"]);
    dies.kill();
    let died = |page: &str| series(page, "memtrace_deaths_total{");
    wait_until("a death", || (died(&agent.ok("/metrics")) == Some(1.0)).then_some(()));
    until_returned(&agent, &pages, 100);
    let first = until_shown(&agent, &mut truth);
    wait_until("a recording", || {
        series(&agent.ok("/metrics"), "memtrace_recording_rows_total ").filter(|rows| *rows > 0.0)
    });
    agent.memtrace.kill();
    let killed_s = now_s();

    // Nobody watches.
    truth.all(&["alloc 8", "gc"]);
    pages.ok("madvise 100p 50p dontneed");
    let recording = home.path().join("recording");
    let recording = recording.to_str().expect("UTF-8");
    let replayed = || Memtrace::run(&["replay", recording, "-o", "json"]);
    let samples = |pid: u32| {
        let ended = replayed();
        assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
        let of = ended.json().into_iter().find(|of| of["pid"] == pid).expect("a process");
        of["samples"].as_u64().expect("a count")
    };
    let recorded = samples(truth.pid());
    assert!(recorded > 0);

    let agent = start(home.path(), &[pages.pid(), truth.pid(), dies_later.pid()]);
    let started_s = now_s();
    // More than before, so that the values alone would not tell.
    pages.ok("madvise 200p 300p dontneed");
    until_returned(&agent, &pages, 300);
    let second = until_shown(&agent, &mut truth);
    let [first_start, second_start] =
        [&first, &second].map(|page| series(page, "memtrace_self_start_time_seconds ").expect("a start"));
    // To the tick of /proc.
    const TICK_S: f64 = 0.02;
    assert!((before_s - TICK_S..killed_s).contains(&first_start), "{before_s} {first_start} {killed_s}");
    assert!((killed_s - TICK_S..started_s).contains(&second_start), "{killed_s} {second_start} {started_s}");
    let again = series(&agent.ok("/metrics"), "memtrace_self_start_time_seconds ");
    assert_eq!(again, Some(second_start), "it stays the same");

    let [before, after] = [&first, &second].map(|page| counters(page));
    let (mut went_on, mut began) = (0, 0);
    for (name, value) in &before {
        let goes_on = GO_ON.iter().any(|family| name.split('{').next() == Some(*family));
        let now = after.get(name);
        // One that has ended has no series any more.
        let is_gone = name.contains("pid=\"") && now.is_none();
        assert!(!goes_on || is_gone || now >= Some(value), "{name} went back from {value} to {now:?}");
        went_on += u32::from(goes_on && now.is_some());
        began += u32::from(!goes_on && now.is_some_and(|now| now < value));
    }
    println!("{went_on} counters went on, {began} are seen to have begun again at {second_start}");
    assert!(went_on >= 4 && began >= 1, "{went_on}, {began}");
    // By workload: deaths are counted over both.
    assert_eq!(died(&second), Some(1.0));
    dies_later.kill();
    wait_until("the second death", || (died(&agent.ok("/metrics")) == Some(2.0)).then_some(()));

    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
    assert!(samples(truth.pid()) > recorded, "of both, in one recording");
}
