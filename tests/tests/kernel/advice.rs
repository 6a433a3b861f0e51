//! Advice that gives nothing back, gives back less than asked, or fails.
use crate::{ledger_of, pages};
use memtrace_tests::{CHUNK, PAGE, assert_json, rollup};
use serde_json::json;

#[test]
fn madv_free_returns_nothing_and_its_lazy_bytes_are_those_of_smaps() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let mut lazy = (0, 0);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 2048p", "madvise 0p 2048p nohugepage", "write 0p 2048p"]);
        assert_eq!(pages.fall(&["madvise 0p 2048p free"]), 0);
        // Written again: no longer lazy, and no fault that returned anything.
        pages.ok("write 0p 48p");
        lazy.0 = rollup(pid, "LazyFree");
    });
    lazy.1 = rollup(pid, "LazyFree");
    // The kernel marks pages lazy in batches of 31 for each CPU (PAGEVEC_SIZE): on each CPU that the workload has run on
    // the last batch may be open still.
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as u64;
    assert!((2000 - 31 * cpus) * PAGE <= lazy.0 && lazy.1 <= 2000 * PAGE, "{lazy:?}");
    let expected = json!({
        "advise": {"free": {
            "calls": 1, "failed_calls": 0, "asked_bytes": 2048 * PAGE, "unmapped_bytes": 0, "refaulted_bytes": 0,
            "resident_before_bytes": 2048 * PAGE, "approximate_calls": 0,
        }},
        "returned_bytes": 0, "refaulted_bytes": 0, "kept_bytes": 0, "untracked_bytes": 0,
        "effectiveness_ratio": 0.0, "time_to_refault_ns": {"count": 0},
    });
    assert_json(&process, &expected);
    let said = process["lazy_bytes"].as_u64().expect("lazy_bytes");
    assert!(lazy.0 <= said && said <= lazy.1, "lazy_bytes {said}, smaps before and after: {lazy:?}");
}

#[test]
fn zero_pages_are_no_memory_and_return_none() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage"]);
        assert_eq!(pages.fall(&["read 0p 1024p"]), 0);
        assert_eq!(pages.resident(0, 1024), 1024, "zero pages are present");
        pages.all(&["write 0p 24p", "madvise 0p 1024p dontneed"]);
        assert_eq!(pages.resident(0, 1024), 0);
        // Only the 24 that were memory were returned.
        pages.ok("write 0p 1024p");
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 1, "asked_bytes": 1024 * PAGE, "unmapped_bytes": 24 * PAGE, "resident_before_bytes": 24 * PAGE,
            "refaulted_bytes": 24 * PAGE,
        }},
        "returned_bytes": 24 * PAGE, "kept_bytes": 0, "effectiveness_ratio": 1.0,
        "time_to_refault_ns": {"count": 24},
        "faults": 1024 + 24 + 1024,
    });
    assert_json(&process, &expected);
}

#[test]
fn untouched_memory_returns_nothing() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 4096p", "madvise 0p 4096p dontneed", "write 0p 64p", "munmap 0p 4096p"]);
    });
    let expected = json!({
        "advise": {"dontneed": {"calls": 1, "asked_bytes": 4096 * PAGE, "unmapped_bytes": 0, "refaulted_bytes": 0}},
        "munmap": {"calls": 1, "asked_bytes": 4096 * PAGE, "unmapped_bytes": 64 * PAGE},
        "returned_bytes": 64 * PAGE, "refaulted_bytes": 0, "untracked_bytes": 0,
    });
    assert_json(&process, &expected);
}

#[test]
fn calls_that_fail_are_counted_and_ask_for_nothing() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p"]);
        pages.fails("madvise 1 8p dontneed", libc::EINVAL);
        pages.fails("madvise 0p 18446744073709551615 dontneed", libc::EINVAL);
        pages.fails("madvise 0p 8p 77", libc::EINVAL);
        pages.fails("madvise 100p 8p dontneed", libc::ENOMEM);
        pages.fails("munmap 1 8p", libc::EINVAL);
        pages.fails("mmap 0p 8p", libc::EEXIST);
        assert_eq!(pages.resident(0, 64), 64);
    });
    let expected = json!({
        "advise": {
            "dontneed": {"calls": 3, "failed_calls": 3, "asked_bytes": 0, "unmapped_bytes": 0, "refaulted_bytes": 0},
            "advice_77": {"calls": 1, "failed_calls": 1, "asked_bytes": 0, "unmapped_bytes": 0},
        },
        "munmap": {"calls": 1, "failed_calls": 1, "asked_bytes": 0, "unmapped_bytes": 0},
        "mmap": {"calls": 2, "failed_calls": 1, "bytes": 64 * PAGE},
        "returned_bytes": 0, "untracked_bytes": 0, "refaulted_bytes": 0,
    });
    assert_json(&process, &expected);
}

#[test]
fn a_range_with_a_hole_fails_and_still_returns_the_rest() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p", "munmap 20p 4p"]);
        let before = pages.rss();
        pages.fails("madvise 10p 20p dontneed", libc::ENOMEM);
        assert_eq!(before - pages.rss(), 16 * PAGE);
        pages.all(&["write 10p 10p", "write 24p 6p"]);
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 1, "failed_calls": 1, "asked_bytes": 0, "unmapped_bytes": 16 * PAGE,
            "refaulted_bytes": 16 * PAGE,
        }},
        "munmap": {"calls": 1, "asked_bytes": 4 * PAGE, "unmapped_bytes": 4 * PAGE},
        "returned_bytes": 20 * PAGE, "refaulted_bytes": 16 * PAGE, "untracked_bytes": 0,
    });
    assert_json(&process, &expected);
}

#[test]
fn a_range_that_ends_in_locked_memory_returns_what_lies_before_it() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p", "mlock 32p 32p"]);
        let before = pages.rss();
        pages.fails("madvise 0p 64p dontneed", libc::EINVAL);
        assert_eq!(before - pages.rss(), 32 * PAGE);
        pages.ok("write 0p 64p");
    });
    assert_json(
        &process,
        &json!({
            "advise": {"dontneed": {"calls": 1, "failed_calls": 1, "asked_bytes": 0, "unmapped_bytes": 32 * PAGE}},
            "returned_bytes": 32 * PAGE,
        }),
    );
    // Which of the 64 resident pages went is not known to the probe: it may say so, but must not lose them.
    let sum = |field: &str| process[field].as_u64().expect("bytes");
    assert_eq!(sum("refaulted_bytes") + sum("untracked_bytes"), 32 * PAGE, "{process:#}");
}

#[test]
fn a_call_that_fails_does_not_forget_what_was_returned_before() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p", "madvise 0p 32p dontneed"]);
        pages.fails("madvise 1 63p dontneed", libc::EINVAL);
        pages.ok("write 0p 64p");
    });
    let expected = json!({
        "advise": {"dontneed": {"calls": 2, "failed_calls": 1, "asked_bytes": 32 * PAGE, "unmapped_bytes": 32 * PAGE}},
        "returned_bytes": 32 * PAGE,
        "refaulted_bytes": 32 * PAGE,
        "untracked_bytes": 0,
    });
    assert_json(&process, &expected);
}

#[test]
fn lengths_are_rounded_as_the_kernel_rounds_them() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p"]);
        assert_eq!(pages.fall(&["madvise 0p 1 dontneed"]), 1);
        assert_eq!(pages.fall(&["madvise 4p 4096 dontneed"]), 1);
        assert_eq!(pages.fall(&["madvise 8p 4097 dontneed"]), 2);
        assert_eq!(pages.fall(&["madvise 16p 0 dontneed"]), 0);
        assert_eq!(pages.fall(&["munmap 60p 5000"]), 2);
        pages.ok("write 0p 60p");
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 4, "failed_calls": 0, "asked_bytes": 4 * PAGE, "unmapped_bytes": 4 * PAGE,
            "refaulted_bytes": 4 * PAGE,
        }},
        "munmap": {"calls": 1, "asked_bytes": 2 * PAGE, "unmapped_bytes": 2 * PAGE},
        "returned_bytes": 6 * PAGE, "untracked_bytes": 0, "effectiveness_ratio": 1.0,
    });
    assert_json(&process, &expected);
}

#[test]
fn overlapping_ranges_return_each_page_once() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
        assert_eq!(pages.fall(&["madvise 0p 600p dontneed"]), 600);
        assert_eq!(pages.fall(&["madvise 400p 400p dontneed"]), 200);
        assert_eq!(pages.fall(&["madvise 0p 800p dontneed"]), 0);
        pages.ok("write 0p 1024p");
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 3, "asked_bytes": 1800 * PAGE, "unmapped_bytes": 800 * PAGE, "resident_before_bytes": 800 * PAGE,
            "refaulted_bytes": 800 * PAGE,
        }},
        "returned_bytes": 800 * PAGE, "kept_bytes": 0, "effectiveness_ratio": 1.0,
    });
    assert_json(&process, &expected);
}

#[test]
fn a_range_too_long_to_walk_is_measured_and_its_pages_are_said_to_be_untracked() {
    let mut pages = pages(&[]);
    // More than the 1 GiB that one call's marks may cover.
    let all = 600 * CHUNK;
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&[&format!("mmap 0p {all}p"), &format!("madvise 0p {all}p nohugepage"), "write 1000p 10p"]);
        assert_eq!(pages.fall(&[&format!("madvise 0p {all}p dontneed")]), 10);
        pages.ok("write 1000p 10p");
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 1, "asked_bytes": all * PAGE, "unmapped_bytes": 10 * PAGE, "refaulted_bytes": 0,
            "approximate_calls": 0,
        }},
        "refaulted_bytes": 0, "untracked_bytes": 10 * PAGE,
    });
    assert_json(&process, &expected);
}

#[test]
fn process_madvise_is_counted_with_what_it_asked() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p"]);
        let answer = pages.ok("pmadvise 0p 48p cold");
        assert_eq!(answer["result"], 48 * PAGE);
        pages.fails("pmadvise 100p 8p cold", libc::ENOMEM);
        assert_eq!(pages.resident(0, 64), 64);
    });
    let row = json!({"calls": 2, "failed_calls": 1, "asked_bytes": 48 * PAGE, "approximate_calls": 0});
    assert_json(&process, &json!({"advise": {"cold": row}, "returned_bytes": 0, "refaulted_bytes": 0}));
}
