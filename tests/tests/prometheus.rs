//! A real Prometheus scrapes the agent once a second while it watches programs that change: no scrape fails or is missing,
//! and what is queried back is what the programs count. `cargo xtask services` fetches it.
use memtrace_tests::{
    Explained, PAGE, Pages, SAID, Service, Serving, Truth, assert_shown, quiet_truth, service_binary, wait_until,
};
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// So long; `MEMTRACE_SCRAPE_SECONDS` makes it longer.
const SECONDS: u64 = 45;
/// Beyond these there are none with series of their own.
const SERIES: usize = 4;

/// As client_golang calls it.
const COMPAT: &[(&str, &str)] = &[("go_memstats_heap_inuse_bytes", "heap_inuse_bytes")];

fn seconds() -> u64 {
    let asked = std::env::var("MEMTRACE_SCRAPE_SECONDS").ok();
    asked.map_or(SECONDS, |seconds| seconds.parse().expect("MEMTRACE_SCRAPE_SECONDS is a number"))
}

/// What promtool has to say of the page: nothing.
#[track_caller]
fn assert_clean(page: &str) {
    let mut promtool = Command::new(service_binary("promtool"));
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool starts");
    let written = promtool.stdin.take().expect("a pipe").write_all(page.as_bytes());
    let said = promtool.wait_with_output().expect("promtool ends");
    let [out, err] = [&said.stdout, &said.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(written.is_ok() && said.status.success() && out.is_empty() && err.is_empty(), "{out}{err}{page}");
}

fn released(explained: &Explained) -> u64 {
    explained.buckets().filter(|(name, _)| name.starts_with("released_")).map(|(_, bytes)| bytes).sum()
}

#[test]
fn prometheus_misses_nothing_and_shows_what_the_programs_count() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    std::fs::write(&config, format!("[http]\nmax_series_processes = {SERIES}\ncompat_names = true\n")).expect("a file");
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let mut truths: Vec<Truth> = (0..5).map(|_| quiet_truth()).collect();
    let pids: Vec<String> =
        [pages.pid()].into_iter().chain(truths.iter().map(Truth::pid)).map(|pid| pid.to_string()).collect();
    let [saved, config] = [directory.path(), &config].map(|path| path.to_str().expect("UTF-8"));
    let mut agent = Serving::start(&["--dir", saved, "--config", config, "-p", &pids.join(",")]);
    let prometheus = Service::prometheus(&[("memtrace", &agent.address)]);
    let up = "up{job=\"memtrace\"}";
    wait_until("the first scrape", || prometheus.value(up));
    let (began, window) = (Instant::now(), seconds());

    // The ledger, to the page; and the time to re-fault.
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
    pages.all(&["madvise 0p 300p dontneed", "write 0p 70p"]);
    let of_pages = |name: &str| prometheus.value(&format!("{name}{{pid=\"{}\"}}", pages.pid()));
    for (name, expected) in [
        ("memtrace_returned_bytes_total", 300 * PAGE),
        ("memtrace_refaulted_bytes_total", 70 * PAGE),
        ("memtrace_kept_bytes", 230 * PAGE),
        ("memtrace_time_to_refault_seconds_count", 70),
    ] {
        wait_until(&format!("{name} to be {expected}"), || (of_pages(name) == Some(expected as f64)).then_some(()));
    }
    let all = format!("memtrace_time_to_refault_seconds_bucket{{pid=\"{}\",le=\"+Inf\"}}", pages.pid());
    assert_eq!(prometheus.value(&all), Some(70.0));
    assert_eq!(of_pages("memtrace_time_to_refault_seconds_sum"), None, "the kernel keeps no sum");

    // The others have one series together.
    let (own, others) = truths.split_at_mut(SERIES - 1);
    for truth in others.iter_mut() {
        truth.all(&["alloc 4", "gc"]);
    }
    let said: Vec<Value> = others.iter_mut().map(|truth| truth.compare(|| ()).0).collect();
    let together = |key: &str| said.iter().map(|said| said[key].as_f64().expect("a number")).sum::<f64>();
    for (metric, key) in SAID {
        let (expression, counted) = (format!("{metric}{{pid=\"other\"}}"), together(key));
        wait_until(&format!("{expression} to be {counted}"), || {
            (prometheus.value(&expression) == Some(counted)).then_some(())
        });
    }
    assert_eq!(prometheus.value("memtrace_processes_left_out"), Some(others.len() as f64));

    // One changes after the other, and Prometheus shows each as it counts itself.
    let (mut turns, own_count) = (0, own.len());
    while began.elapsed() < Duration::from_secs(window + 2) {
        let truth = &mut own[turns % own_count];
        truth.all(&[["alloc 8", "gc"], ["free", "gc"], ["alloc 3", "freeosmemory"]][turns / own_count % 3]);
        assert_shown(&prometheus, truth, COMPAT);
        turns += 1;
    }
    assert!(turns >= 6, "{turns} changes in {window} s");
    let said: f64 = own
        .iter_mut()
        .map(|truth| assert_shown(&prometheus, truth, COMPAT)["heap_inuse_bytes"].as_f64().expect("a number"))
        .sum();
    let sum = prometheus.value("sum(memtrace_go_heap_inuse_bytes)");
    assert_eq!(sum, Some(said + together("heap_inuse_bytes")), "with the series of the others it is of all");

    // No gaps: as many samples as seconds, of all series.
    assert_eq!(prometheus.value(&format!("min_over_time({up}[{window}s])")), Some(1.0), "a scrape has failed");
    let pid = own[0].pid();
    for series in [up, &format!("memtrace_go_heap_inuse_bytes{{pid=\"{pid}\"}}"), "memtrace_self_open_fds"] {
        let count = prometheus.value(&format!("count_over_time({series}[{window}s])"));
        assert!(count.is_some_and(|count| (count - window as f64).abs() <= 1.0), "{series}: {count:?} in {window} s");
    }
    println!("{turns} changes shown, no scrape missed in {window} s");

    // A close look at everybody: the buckets are those of `memtrace explain`.
    agent.memtrace.signal(libc::SIGUSR1);
    let (explained, rss_bytes) = Explained::at_rest(pid);
    let waterfall = format!("memtrace_waterfall_bytes{{pid=\"{pid}\"");
    for (expression, bytes) in [
        (format!("sum({waterfall}}})"), rss_bytes),
        (format!("{waterfall},bucket=\"live_heap\"}}"), explained.bucket("live_heap")),
        (format!("memtrace_go_released_resident_bytes{{pid=\"{pid}\"}}"), released(&explained)),
    ] {
        wait_until(&format!("{expression} to be {bytes}"), || {
            (prometheus.value(&expression) == Some(bytes as f64)).then_some(())
        });
    }
    let age = prometheus.value(&format!("memtrace_waterfall_age_seconds{{pid=\"{pid}\"}}"));
    assert!(age.is_some_and(|age| (0.0..60.0).contains(&age)), "{age:?}");

    assert_clean(&agent.ok("/metrics"));

    // A death outlives its process, with its trigger and its verdict.
    truths.pop().expect("a program").kill();
    let died = wait_until("the death", || {
        let page = agent.ok("/metrics");
        page.lines().find(|line| line.starts_with("memtrace_deaths_total{")).map(str::to_owned)
    });
    assert!(died.contains("trigger=\"kill\",verdict=\"") && died.ends_with("\"} 1"), "{died}");
    assert_clean(&agent.ok("/metrics"));
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}

#[test]
fn the_page_is_clean_where_next_to_nothing_is_known() {
    let truth = quiet_truth();
    let agent = Serving::start(&["--no-save", "--no-faults", "-p", &truth.pid().to_string()]);
    let page = agent.ok("/metrics");
    assert_clean(&page);
    let absent = ["memtrace_refaulted_bytes_total", "memtrace_time_to_refault", "memtrace_deaths_total", "go_memstats"];
    for absent in absent {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}
