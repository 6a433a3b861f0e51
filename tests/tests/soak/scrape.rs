//! A real Prometheus scrapes the agent once a second for minutes, `MEMTRACE_SCRAPE_SECONDS` of them if set, while fifty Go
//! programs change: no scrape fails, comes late or is missing, no program misses in one, and at the end each is shown as it
//! counts itself.
use memtrace_tests::{SAID, Service, Serving, Truth, assert_shown, quiet_truth, wait_until};
use serde_json::Value;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PROGRAMS: usize = 50;
const DEFAULT_SECONDS: u64 = 180;
const INTERVAL_MS: u64 = 1000;
/// One that begins later than by so much is missed: on busy cores Prometheus itself is some ms late.
const LATE_MS: u64 = INTERVAL_MS / 2;
/// Between two changes: they share two cores with who looks.
const PAUSE: Duration = Duration::from_millis(20);
/// What each does in turn.
const CHANGES: [[&str; 2]; 4] =
    [["alloc 4", "gc"], ["alloc 2", "freeosmemory"], ["free", "gc"], ["alloc 3", "freeosmemory"]];

fn seconds() -> u64 {
    std::env::var("MEMTRACE_SCRAPE_SECONDS").map_or(DEFAULT_SECONDS, |text| text.parse().expect("seconds"))
}

/// Between the first and the last sample there is one for every scrape; how many.
#[track_caller]
fn assert_without_gaps(name: &str, samples: &[(u64, f64)]) -> u64 {
    let gap = |pair: &&[(u64, f64)]| (pair[1].0 - pair[0].0).abs_diff(INTERVAL_MS) > LATE_MS;
    let gaps: Vec<_> = samples.windows(2).filter(gap).map(|pair| [pair[0].0, pair[1].0]).collect();
    assert_eq!(gaps, [[0; 2]; 0], "{name}: gaps, in ms since 1970");
    samples.len() as u64
}

#[test]
fn prometheus_has_no_gap_and_shows_fifty_programs_as_they_count_themselves() {
    let mut truths: Vec<Truth> = (0..PROGRAMS).map(|_| quiet_truth()).collect();
    let pids: Vec<String> = truths.iter().map(|truth| truth.pid().to_string()).collect();
    let agent = Serving::start(&["--no-save", "-p", &pids.join(",")]);
    agent.until_ready();
    let prometheus = Service::prometheus(&[("memtrace", &agent.address)]);
    let up = "up{job=\"memtrace\"}";
    wait_until("the first scrape", || prometheus.value(up));
    // What it has by then of its start is left out.
    let (began, window) = (Instant::now(), Duration::from_secs(seconds()));
    let mut changes = 0;
    while began.elapsed() < window {
        truths[changes % PROGRAMS].all(&CHANGES[changes / PROGRAMS % CHANGES.len()]);
        changes += 1;
        sleep(PAUSE);
    }
    let range = format!("[{}ms]", began.elapsed().as_millis());

    // Of the same scrapes: those of the window.
    let scrapes = prometheus.samples(&format!("{up}{range}"));
    let count = assert_without_gaps(up, &scrapes);
    let failed: Vec<u64> = scrapes.iter().filter(|(_, up)| *up != 1.0).map(|(at, _)| *at).collect();
    assert_eq!(failed, [0; 0], "scrapes that failed, in ms since 1970");
    assert!(count.abs_diff(seconds()) <= 1, "{count} scrapes in {} s", seconds());
    let [first, last] = [scrapes.first(), scrapes.last()].map(|of| of.expect("a scrape").0);
    for pid in &pids {
        let name = format!("memtrace_go_heap_inuse_bytes{{pid=\"{pid}\"}}");
        let mut samples = prometheus.samples(&format!("{name}{range}"));
        // There may have been another one between the two questions.
        samples.retain(|(at, _)| (first..=last).contains(at));
        assert_without_gaps(&name, &samples);
        let at_most = scrapes.iter().filter(|(at, _)| samples.first().is_some_and(|first| *at >= first.0)).count();
        assert!(samples.len() == at_most && samples.len() as u64 + 1 >= count, "{name}: {} of {count}", samples.len());
    }
    println!("{changes} changes of {PROGRAMS} programs, {count} scrapes in {} s, none missed", seconds());

    let said: Vec<Value> = truths.iter_mut().map(|truth| assert_shown(&prometheus, truth, &[])).collect();
    for (metric, key) in SAID {
        let counted: f64 = said.iter().map(|said| said[key].as_f64().expect("a number")).sum();
        assert_eq!(prometheus.value(&format!("sum({metric})")), Some(counted), "{metric}");
    }
    let lost = prometheus.value("sum(memtrace_probe_lost_total) + sum(memtrace_shed_records_total)");
    assert_eq!(lost, Some(0.0));
    let took = prometheus.value(&format!("max_over_time(scrape_duration_seconds{{job=\"memtrace\"}}{range})"));
    let agent_cpu = prometheus.value("rate(memtrace_self_cpu_seconds_total[2m])");
    println!("the slowest scrape took {took:?} s; {agent_cpu:?} of a CPU");
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}
