//! Returned pages and re-faults, to the page.
use crate::{Test, test};
use memtrace_tests::{
    CHUNK, Memtrace, PAGE, Pages, Processes as _, differences, rollup, sums_are_those_of_the_calls, unless_skipped,
};
use serde_json::{Value, json};

pub(crate) const PAGES: &str = "/bin/pages";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("what_one_thread_returns_and_touches_again_is_exact", one_thread),
        test("what_four_threads_return_and_touch_again_is_exact", four_threads),
        test("threads_that_touch_the_same_returned_pages_bring_each_back_once", same_pages),
        test("what_is_added_up_is_what_one_who_is_told_each_call_counts", || sums_are_those_of_the_calls(PAGES)),
        test("huge_zero_and_forbidden_pages_are_told_apart", unlike_pages),
    ]
}

/// Of a new workload; nothing may be lost, and the account is checked. `differ`: what is not as it should be.
pub(crate) fn ledger_of(
    arguments: &[&str],
    work: impl Fn(&mut Pages),
    differ: impl Fn(&Value) -> Vec<String>,
) -> Value {
    unless_skipped(|| {
        let mut pages = Pages::start(PAGES, arguments);
        let memtrace = Memtrace::attach(pages.pid(), &[]);
        work(&mut pages);
        let summary = memtrace.interrupt().summary();
        assert_eq!(summary["account"]["lost"], 0, "{:#}", summary["account"]);
        let process = summary.process(pages.pid());
        let missing = [&summary["account"]["skipped_runs"], &process["unseen_faults"]];
        let missing = missing.iter().filter_map(|of| of.as_u64()).sum();
        (process.clone(), differ(process), missing)
    })
}

fn one_thread() {
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 3, "failed_calls": 0, "asked_bytes": 385 * PAGE, "unmapped_bytes": 385 * PAGE,
            "refaulted_bytes": 140 * PAGE, "approximate_calls": 0, "unmeasured_calls": 0,
        }},
        "munmap": {"calls": 1, "asked_bytes": 1024 * PAGE, "unmapped_bytes": 779 * PAGE, "approximate_calls": 0},
        "mmap": {"calls": 1, "failed_calls": 0, "bytes": 1024 * PAGE},
        "returned_bytes": (385 + 779) * PAGE, "refaulted_bytes": 140 * PAGE, "untracked_bytes": 0,
        "time_to_refault_ns": {"count": 140}, "faults": 1024 + 140, "oom_killed": false, "exit": null,
    });
    ledger_of(
        &[],
        |pages| {
            pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
            let fell =
                pages.fall(&["madvise 0p 256p dontneed", "madvise 512p 128p dontneed", "madvise 1000p 1p dontneed"]);
            assert_eq!((fell, pages.resident(0, 1024)), (385, 639));
            // 100 of the first range, 40 of the second, and 60 that were never returned.
            pages.all(&["write 0p 100p", "write 600p 100p", "munmap 0p 1024p"]);
        },
        |process| differences(process, &expected),
    );
}

fn four_threads() {
    const THREADS: u64 = 4;
    let list = |n: u64| {
        let at = n * 4 * CHUNK;
        format!(
            "mmap {at}p 1024p; madvise {at}p 1024p nohugepage; write {at}p 1024p; madvise {}p 700p dontneed; \
             madvise {}p 3p dontneed; write {}p 400p; munmap {at}p 1024p",
            at + 100,
            at + 1021,
            at + 50,
        )
    };
    let lists: Vec<String> = (0..THREADS).map(list).collect();
    // Of the 400 pages written again from 50 on, 350 had been returned.
    let (returned, back) = (703, 350);
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 2 * THREADS, "failed_calls": 0, "asked_bytes": THREADS * returned * PAGE,
            "unmapped_bytes": THREADS * returned * PAGE, "refaulted_bytes": THREADS * back * PAGE,
            "approximate_calls": 0, "unmeasured_calls": 0,
        }},
        "munmap": {"calls": THREADS, "unmapped_bytes": THREADS * (1024 - returned + back) * PAGE},
        "untracked_bytes": 0, "time_to_refault_ns": {"count": THREADS * back},
        "faults": THREADS * (1024 + back),
    });
    ledger_of(
        &["--threads", "4"],
        |pages| {
            let answers = pages.ok(&format!("par {}", lists.join(" | ")));
            assert_eq!(answers.as_array().map(|threads| threads.len() as u64), Some(THREADS));
        },
        |process| differences(process, &expected),
    );
}

/// Where a mark cannot be taken atomically, pages that were counted twice hide as many others, until these are returned
/// again.
fn same_pages() {
    const RETURNED: u64 = 2 * 4096;
    let touch = "par write 0p 4096p | write 0p 4096p | write 0p 4096p | write 0p 4096p";
    let is_exact = std::env::var("VM_EXACT_RACES").is_ok_and(|is| is == "true");
    let off = if is_exact { 0 } else { RETURNED / 100 };
    let expected = Some(RETURNED - off)..=Some(RETURNED + off);
    let differ = |process: &Value| {
        let sums = json!({"returned_bytes": RETURNED * PAGE, "untracked_bytes": 0});
        let back = [&process["refaulted_bytes"], &process["time_to_refault_ns"]["count"]].map(|n| n.as_u64());
        let found = [back[0].map(|bytes| bytes / PAGE), back[1]];
        let is_right = found.iter().all(|pages| expected.contains(pages));
        let back = (!is_right).then(|| format!("{found:?} of {RETURNED} pages came back"));
        differences(process, &sums).into_iter().chain(back).collect()
    };
    let work = |pages: &mut Pages| {
        pages.all(&["mmap 0p 4096p", "madvise 0p 4096p nohugepage", touch]);
        pages.all(&["madvise 0p 4096p dontneed", touch, "madvise 0p 4096p dontneed", touch]);
    };
    ledger_of(&["--threads", "4"], work, differ);
}

/// With a second thread it is the page tables that say what left.
fn unlike_pages() {
    // One of two huge pages; of the second range what was written, not what was only read.
    let (returned, back) = (1024 + 32 + 64, CHUNK + 16);
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 3, "asked_bytes": (1024 + 64 + 64) * PAGE, "unmapped_bytes": returned * PAGE,
            "refaulted_bytes": back * PAGE, "approximate_calls": 0, "unmeasured_calls": 0,
        }},
        "untracked_bytes": 0, "time_to_refault_ns": {"count": back}, "faults": 2 + 1 + 64 + 64 + 16 + 64,
    });
    ledger_of(
        &["--threads", "2"],
        |pages| {
            let huge = |pages: &Pages| rollup(pages.pid(), "AnonHugePages");
            let before = huge(pages);
            pages.all(&["mmap 0p 1024p", "madvise 0p 1024p hugepage", "write 0p 1024p"]);
            assert_eq!(huge(pages) - before, 2 * CHUNK * PAGE);
            pages.all(&["madvise 0p 1024p dontneed", "write 600p 1p"]);
            pages.all(&["mmap 2048p 64p", "madvise 2048p 64p nohugepage", "write 2048p 32p", "read 2080p 32p"]);
            pages.all(&["madvise 2048p 64p dontneed", "read 2048p 64p", "write 2048p 16p"]);
            pages.all(&["mmap 4096p 64p", "madvise 4096p 64p nohugepage", "write 4096p 64p", "forbid 4096p 32p"]);
            pages.all(&["madvise 4096p 64p dontneed"]);
        },
        |process| differences(process, &expected),
    );
}
