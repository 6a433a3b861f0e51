//! `memtrace explain` against the kernel's own figures, and what it leaves unchanged.
use memtrace_tests::{Explained, Memtrace, Truth, present_pages, rss_bytes, status_bytes, truth_binary};

const MIB: u64 = 1 << 20;

#[test]
fn buckets_sum_to_what_the_page_tables_hold() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
    truth.run("alloc 64");
    let pid = truth.pid();
    let (explained, rss) = truth.compare(|| (Explained::of(pid), rss_bytes(pid))).1;
    assert_eq!(explained.0["schema"], "memtrace.explain/1");
    assert_eq!(explained.rss_bytes(), rss, "{:#}", explained.0);
    assert!(rss >= 64 * MIB);
    assert!(explained.0["cgroup"]["charge_bytes"].as_u64() > Some(0), "{:#}", explained.0);
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
    Explained::of(pid);
    assert!(before == state(), "RSS, page tables or resident pages have changed");
}

#[test]
fn a_process_that_is_not_gos_is_explained_and_a_dead_one_is_no_target() {
    let explained = Explained::of(std::process::id()).0;
    assert!(explained["go"].is_null() && explained["memstats"].is_null(), "{explained:#}");
    assert!(explained["refused"].is_string() && explained["rss_bytes"].as_u64() > Some(0), "{explained:#}");
    let ended = Memtrace::run(&["explain", "-p", &i32::MAX.to_string()]);
    assert_eq!(ended.code(), Some(4), "{ended:?}");
}
