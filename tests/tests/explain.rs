//! `memtrace explain` against the kernel's own figures, and what it leaves unchanged.
use memtrace_tests::{Memtrace, Truth, present_pages, rss_bytes, status_bytes, truth_binary};
use serde_json::Value;

const MIB: u64 = 1 << 20;

#[track_caller]
fn explain(pid: u32) -> Value {
    let ended = Memtrace::run(&["explain", "-o", "json", "-p", &pid.to_string()]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    ended.json().pop().expect("an object")
}

#[track_caller]
fn number(json: &Value, field: &str) -> u64 {
    json[field].as_u64().unwrap_or_else(|| panic!("no {field} in {json:#}"))
}

#[test]
fn buckets_sum_to_what_the_page_tables_hold() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
    truth.run("alloc 64");
    let pid = truth.pid();
    let (explained, rss) = truth.compare(|| (explain(pid), rss_bytes(pid))).1;
    let buckets = explained["buckets"].as_array().expect("buckets");
    let sum: u64 = buckets.iter().map(|bucket| number(bucket, "bytes")).sum();
    assert_eq!(explained["schema"], "memtrace.explain/1");
    assert_eq!(sum + number(&explained, "unknown_bytes"), number(&explained, "rss_bytes"), "{explained:#}");
    assert_eq!(number(&explained, "rss_bytes"), rss, "{explained:#}");
    assert!(rss >= 64 * MIB);
    assert!(number(&explained["cgroup"], "charge_bytes") > 0, "{explained:#}");
}

#[test]
fn looking_changes_nothing_in_the_target() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
    truth.all(&["alloc 64", "gc", "free", "freeosmemory"]);
    let pid = truth.pid();
    let state = || (rss_bytes(pid), status_bytes(pid, "VmPTE"), present_pages(pid));
    let before = memtrace_tests::wait_until("the program to be at rest", || {
        let before = state();
        (before == state()).then_some(before)
    });
    explain(pid);
    assert!(before == state(), "RSS, page tables or resident pages have changed");
}

#[test]
fn a_process_that_is_not_gos_is_explained_and_a_dead_one_is_no_target() {
    let explained = explain(std::process::id());
    assert!(explained["go"].is_null() && explained["memstats"].is_null(), "{explained:#}");
    assert!(explained["refused"].is_string() && number(&explained, "rss_bytes") > 0, "{explained:#}");
    let ended = Memtrace::run(&["explain", "-p", &i32::MAX.to_string()]);
    assert_eq!(ended.code(), Some(4), "{ended:?}");
}
