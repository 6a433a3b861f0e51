//! The wall clock is set, forth and back, in the middle of everything: no time that memtrace tells knows of it.
use crate::ledger::{PAGES, ledger_of};
use crate::{Test, test};
use memtrace_tests::{Memtrace, PAGE, Pages, Serving, assert_account, differences, monotonic_ns, wait_until};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

const HOUR_S: i64 = 3600;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("no_duration_knows_that_the_clock_was_set", durations),
        test("events_keep_their_time_when_the_clock_is_set", events),
        test("an_agent_counts_on_when_the_clock_is_set", agent),
    ]
}

/// Sets this machine's clock; nobody else lives by it.
fn step(seconds: i64) {
    let before = SystemTime::now();
    let since_epoch = before.duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970");
    let now = libc::timespec {
        tv_sec: since_epoch.as_secs() as i64 + seconds,
        tv_nsec: i64::from(since_epoch.subsec_nanos()),
    };
    // SAFETY: a valid time is read.
    let result = unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const now) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    let half = Duration::from_secs(seconds.unsigned_abs() / 2);
    let stepped = if seconds < 0 { before - half > SystemTime::now() } else { SystemTime::now() > before + half };
    assert!(stepped, "the clock was not set by {seconds} s");
}

fn durations() {
    let began = monotonic_ns();
    let expected = json!({
        "advise": {"dontneed": {"calls": 3, "unmapped_bytes": 300 * PAGE, "refaulted_bytes": 60 * PAGE}},
        "time_to_refault_ns": {"count": 60}, "untracked_bytes": 0,
    });
    let work = |pages: &mut Pages| {
        pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
        for at in [0, 256, 512] {
            pages.ok(&format!("madvise {at}p 100p dontneed"));
            step(HOUR_S);
            pages.ok(&format!("write {at}p 10p"));
            step(-2 * HOUR_S);
            pages.ok(&format!("write {}p 10p", at + 10));
            step(HOUR_S);
        }
    };
    let process = ledger_of(&[], work, |process| differences(process, &expected));
    let elapsed_ns = monotonic_ns() - began;
    let refault = process["time_to_refault_ns"]["max"].as_u64().expect("a time");
    let call = process["advise"]["dontneed"]["latency_ns"]["max"].as_u64().expect("a time");
    assert!(refault > 0 && refault <= elapsed_ns && call > 0 && call <= elapsed_ns, "{elapsed_ns}: {process:#}");
}

fn events() {
    let mut pages = Pages::start(PAGES, &[]);
    let began = monotonic_ns();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "--family", "advise", "-p", &pages.pid().to_string()]);
    wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    for seconds in [HOUR_S, -2 * HOUR_S, HOUR_S] {
        step(seconds);
        pages.run("madvise 0p 1p willneed");
    }
    let ended = memtrace.interrupt();
    let ended_ns = monotonic_ns();
    let lines = ended.json();
    let (last, events) = lines.split_last().expect("lines");
    assert_account(last);
    let times: Vec<u64> = events.iter().filter_map(|event| event["t_ns"].as_u64()).collect();
    assert!(times.len() > 3 && times.is_sorted(), "{times:?}");
    assert!(times.iter().all(|t_ns| (began..ended_ns).contains(t_ns)), "{began} to {ended_ns}: {times:?}");
    assert!(events.iter().all(|event| event["duration_ns"].as_u64() < Some(ended_ns - began)), "{events:#?}");
}

/// Neither does what others scrape: no counter goes back, no start is told anew, and points come as before.
fn agent() {
    let began = monotonic_ns();
    let mut pages = Pages::start(PAGES, &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("agent.toml");
    // An emulated machine may take long over an answer.
    std::fs::write(&config, "[http]\nrequest_timeout = \"5m\"\n").expect("written");
    let pid = pages.pid().to_string();
    let config = config.to_str().expect("UTF-8");
    let agent = Serving::start(&["--config", config, "--no-save", "-p", &pid]);
    agent.until_ready();
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
    let start = |page: &str| {
        let line = page.lines().find(|line| line.starts_with("memtrace_self_start_time_seconds "));
        line.expect("when it was started").to_owned()
    };
    let started = start(&agent.ok("/metrics"));
    for (at, seconds) in [0, HOUR_S, -2 * HOUR_S, HOUR_S].into_iter().enumerate() {
        if seconds != 0 {
            step(seconds);
        }
        pages.ok(&format!("madvise {}p 100p dontneed", 100 * at));
        let returned = (at as u64 + 1) * 100 * PAGE;
        wait_until("what was returned", || {
            let page = agent.ok("/metrics");
            assert_eq!(start(&page), started, "after {seconds} s");
            let is_it = |line: &&str| line.starts_with("memtrace_returned_bytes_total{");
            let told = page.lines().find(is_it)?.rsplit(' ').next()?.parse::<f64>().ok()?;
            assert!(told <= returned as f64, "{told} of {returned} bytes");
            (told == returned as f64).then_some(())
        });
    }
    // From the last step on there are points too.
    let since = monotonic_ns();
    let times = wait_until("a point", || {
        let process = agent.json(&format!("/api/v1/processes/{pid}"));
        let times = process["timeline"]["t_ns"].as_array().expect("points");
        let times: Vec<u64> = times.iter().filter_map(Value::as_u64).collect();
        times.last().is_some_and(|last| *last > since).then_some(times)
    });
    assert!(times.is_sorted() && times.iter().all(|t_ns| (began..monotonic_ns()).contains(t_ns)), "{times:?}");
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    assert_account(&ended.json().pop().expect("an account"));
}
