//! What was asked, unmapped, kept and faulted in again, to the byte.
use crate::{ledger_of, pages};
use memtrace_tests::{CHUNK, PAGE, assert_json};
use serde_json::json;

#[test]
fn every_figure_of_one_thread_is_exact() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage"]);
        assert_eq!(pages.fall(&["write 0p 1024p"]), -1024);
        let fell = pages.fall(&["madvise 0p 256p dontneed", "madvise 512p 128p dontneed", "madvise 1000p 1p dontneed"]);
        assert_eq!(fell, 385);
        assert_eq!(pages.resident(0, 1024), 639);
        // 100 of the first range, 40 of the second, and 60 that were never returned.
        pages.all(&["write 0p 100p", "write 600p 100p"]);
        assert_eq!(pages.resident(0, 1024), 779);
        pages.ok("munmap 0p 1024p");
    });
    let expected = json!({
        "go": null,
        "advise": {
            "nohugepage": {"calls": 1, "failed_calls": 0, "asked_bytes": 1024 * PAGE, "unmapped_bytes": 0},
            "dontneed": {
                "calls": 3, "failed_calls": 0, "asked_bytes": 385 * PAGE, "unmapped_bytes": 385 * PAGE,
                "freed_bytes": null, "refaulted_bytes": 140 * PAGE, "approximate_calls": 0, "unmeasured_calls": 0,
                "resident_before_bytes": 385 * PAGE,
            },
        },
        "munmap": {
            "calls": 1, "failed_calls": 0, "asked_bytes": 1024 * PAGE, "unmapped_bytes": 779 * PAGE,
            "refaulted_bytes": 0, "approximate_calls": 0,
        },
        "mmap": {"calls": 1, "failed_calls": 0, "bytes": 1024 * PAGE},
        "mremap": {"calls": 0, "grown_bytes": 0, "shrunk_bytes": 0},
        "brk": {"calls": 0, "grown_bytes": 0, "shrunk_bytes": 0},
        "returned_bytes": (385 + 779) * PAGE,
        "returned_by": "unmapped",
        "refaulted_bytes": 140 * PAGE,
        "untracked_bytes": 0,
        "kept_bytes": (385 + 779 - 140) * PAGE,
        "lazy_bytes": 0,
        "effectiveness_ratio": 1.0,
        "time_to_refault_ns": {"count": 140},
        // One for each page written where there was none: all other memory of the workload is locked.
        "faults": 1024 + 140,
        "reclaim_stall_ns": 0,
        "oom_killed": false,
        "exit": null,
    });
    assert_json(&process, &expected);
}

#[test]
fn every_figure_of_eight_threads_at_once_is_exact() {
    const THREADS: u64 = 8;
    let mut pages = pages(&["--threads", "8"]);
    let list = |n: u64| {
        let at = n * 4 * CHUNK;
        format!(
            "mmap {at}p 1024p; madvise {at}p 1024p nohugepage; write {at}p 1024p; \
             madvise {}p 700p dontneed; madvise {}p 1p dontneed; madvise {}p 3p dontneed; write {}p 400p; \
             munmap {at}p 1024p",
            at + 100,
            at + 900,
            at + 1021,
            at + 50,
        )
    };
    let lists: Vec<String> = (0..THREADS).map(list).collect();
    let process = ledger_of(&mut pages, &[], |pages| {
        let answers = pages.ok(&format!("par {}", lists.join(" | ")));
        assert_eq!(answers.as_array().map(|threads| threads.len() as u64), Some(THREADS));
    });
    // Of the 400 pages written again from 50 on, 350 had been returned.
    let (returned, back) = (704, 350);
    let resident = 1024 - returned + back;
    let expected = json!({
        "advise": {
            "nohugepage": {"calls": THREADS, "asked_bytes": THREADS * 1024 * PAGE, "unmapped_bytes": 0},
            "dontneed": {
                "calls": 3 * THREADS, "failed_calls": 0, "asked_bytes": THREADS * returned * PAGE,
                "unmapped_bytes": THREADS * returned * PAGE, "refaulted_bytes": THREADS * back * PAGE,
                "approximate_calls": 0, "unmeasured_calls": 0,
                "resident_before_bytes": THREADS * returned * PAGE,
            },
        },
        "munmap": {
            "calls": THREADS, "asked_bytes": THREADS * 1024 * PAGE, "unmapped_bytes": THREADS * resident * PAGE,
            "approximate_calls": 0,
        },
        "mmap": {"calls": THREADS, "bytes": THREADS * 1024 * PAGE},
        "returned_bytes": THREADS * (returned + resident) * PAGE,
        "refaulted_bytes": THREADS * back * PAGE,
        "untracked_bytes": 0,
        "kept_bytes": THREADS * (returned + resident - back) * PAGE,
        "effectiveness_ratio": 1.0,
        "time_to_refault_ns": {"count": THREADS * back},
    });
    assert_json(&process, &expected);
}

#[test]
fn one_page_and_many_chunks_are_exact_alike() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 65536p", "madvise 0p 65536p nohugepage", "write 0p 65536p"]);
        // One page alone (told by RSS), two across a chunk's border, the middle of 128 chunks, all of the rest.
        assert_eq!(pages.fall(&["madvise 7p 1p dontneed"]), 1);
        assert_eq!(pages.fall(&["madvise 511p 2p dontneed"]), 2);
        assert_eq!(pages.fall(&["madvise 1000p 60000p dontneed"]), 60_000);
        assert_eq!(pages.fall(&["madvise 0p 65536p dontneed"]), 65_536 - 60_003);
        pages.all(&["write 0p 65536p"]);
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 4, "asked_bytes": (1 + 2 + 60_000 + 65_536) * PAGE, "unmapped_bytes": 65_536 * PAGE,
            "resident_before_bytes": 65_536 * PAGE, "refaulted_bytes": 65_536 * PAGE, "approximate_calls": 0,
        }},
        "returned_bytes": 65_536 * PAGE, "kept_bytes": 0, "untracked_bytes": 0, "effectiveness_ratio": 1.0,
        "time_to_refault_ns": {"count": 65_536},
        "faults": 2 * 65_536,
    });
    assert_json(&process, &expected);
}

#[test]
fn the_break_and_moved_mappings_are_counted_by_their_growth() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["brk 262144", "brk -131072", "brk -131072"]);
        pages.all(&["mmap 0p 64p", "write 0p 64p", "mremap 0p 64p 96p", "mremap 0p 96p 32p 4096p"]);
        pages.fails("mremap 200p 1p 2p", libc::EFAULT);
    });
    // Every `brk` of the workload first asks where the break is.
    let expected = json!({
        "brk": {"calls": 6, "failed_calls": 0, "grown_bytes": 262_144, "shrunk_bytes": 262_144},
        "mmap": {"calls": 1, "bytes": 64 * PAGE},
        "mremap": {"calls": 3, "failed_calls": 1, "grown_bytes": 32 * PAGE, "shrunk_bytes": 64 * PAGE},
        "munmap": {"calls": 0, "unmapped_bytes": 0},
        "advise": {}, "returned_bytes": 0, "refaulted_bytes": 0,
    });
    assert_json(&process, &expected);
    assert_eq!(process["advise"], json!({}));
}

#[test]
fn rss_at_start_peak_and_end_are_what_the_page_tables_say() {
    let mut pages = pages(&[]);
    let start = pages.rss();
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 1024p", "write 0p 1024p", "madvise 0p 1000p dontneed"]);
    });
    let expected = json!({"rss_bytes": {"start": start, "peak": start + 1024 * PAGE, "end": start + 24 * PAGE}});
    assert_json(&process, &expected);
    assert_eq!(pages.rss(), start + 24 * PAGE);
}
