//! Huge pages, and `--exact`: unmapped is not freed.
use crate::{ledger_of, pages};
use memtrace_tests::{CHUNK, PAGE, Pages, assert_json, rollup};
use serde_json::json;

/// One CPU, so that batches of pages in flight are that CPU's and can be pushed out by touching others.
const PINNED: [&str; 2] = ["--pin", "1"];
/// Pages a CPU may hold back in one batch on their way to the LRU (PAGEVEC_SIZE).
const BATCH: u64 = 31;

/// `count` huge pages from BASE on, each by one touch.
#[track_caller]
fn huge(pages: &mut Pages, count: u64) {
    let all = count * CHUNK;
    pages.all(&[&format!("mmap 0p {all}p"), &format!("madvise 0p {all}p hugepage")]);
    for n in 0..count {
        pages.ok(&format!("write {}p 1p", n * CHUNK));
    }
    let got = rollup(pages.pid(), "AnonHugePages");
    assert_eq!(got, all * PAGE, "the kernel gave no huge pages: without them this proves nothing");
}

#[test]
fn huge_pages_dropped_whole_are_exact_and_one_touch_brings_one_back() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        huge(pages, 8);
        assert_eq!(pages.fall(&["madvise 0p 4096p dontneed"]), 4096);
        pages.all(&["write 0p 1p", "write 700p 1p"]);
        assert_eq!(rollup(pages.pid(), "AnonHugePages"), 2 * CHUNK * PAGE);
    });
    let expected = json!({
        "advise": {
            "hugepage": {"calls": 1, "asked_bytes": 4096 * PAGE, "unmapped_bytes": 0, "freed_bytes": 0},
            "dontneed": {
                "calls": 1, "asked_bytes": 4096 * PAGE, "unmapped_bytes": 4096 * PAGE, "freed_bytes": 4096 * PAGE,
                "resident_before_bytes": 4096 * PAGE, "refaulted_bytes": 2 * CHUNK * PAGE,
            },
        },
        "returned_bytes": 4096 * PAGE, "returned_by": "freed", "effectiveness_ratio": 1.0,
        "refaulted_bytes": 2 * CHUNK * PAGE, "kept_bytes": 6 * CHUNK * PAGE, "untracked_bytes": 0,
        "time_to_refault_ns": {"count": 2 * CHUNK},
        "faults": 8 + 2,
    });
    assert_json(&process, &expected);
}

#[test]
fn a_part_of_a_huge_page_is_unmapped_and_not_freed() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        huge(pages, 4);
        for n in 0..4 {
            assert_eq!(pages.fall(&[&format!("madvise {}p 256p dontneed", n * CHUNK)]), 256);
        }
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 4, "asked_bytes": 1024 * PAGE, "unmapped_bytes": 1024 * PAGE, "freed_bytes": 0,
            "resident_before_bytes": 1024 * PAGE, "refaulted_bytes": 0,
        }},
        "returned_bytes": 0, "returned_by": "freed", "effectiveness_ratio": 0.0,
    });
    assert_json(&process, &expected);
}

#[test]
fn the_other_half_of_a_huge_page_frees_all_of_it() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        huge(pages, 4);
        for half in [0, 256] {
            for n in 0..4 {
                assert_eq!(pages.fall(&[&format!("madvise {}p 256p dontneed", n * CHUNK + half)]), 256);
            }
        }
    });
    let expected = json!({
        "advise": {"dontneed": {
            "calls": 8, "asked_bytes": 2048 * PAGE, "unmapped_bytes": 2048 * PAGE, "freed_bytes": 2048 * PAGE,
        }},
        "returned_bytes": 2048 * PAGE,
    });
    assert_json(&process, &expected);
}

#[test]
fn without_exact_a_part_of_a_huge_page_is_counted_by_what_rss_lost() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        huge(pages, 2);
        assert_eq!(pages.fall(&["madvise 100p 256p dontneed"]), 256);
        // The rest of that huge page is still there, in small pieces, and was never returned.
        pages.all(&["write 0p 512p"]);
    });
    let expected = json!({
        "advise": {"dontneed": {
            "unmapped_bytes": 256 * PAGE, "freed_bytes": null, "resident_before_bytes": 256 * PAGE,
            "refaulted_bytes": 256 * PAGE,
        }},
        "returned_bytes": 256 * PAGE, "returned_by": "unmapped", "untracked_bytes": 0,
    });
    assert_json(&process, &expected);
}

#[test]
fn small_pages_are_freed_to_the_byte_once_they_have_left_the_cpus_batch() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        pages.all(&["mmap 0p 4096p", "madvise 0p 4096p nohugepage", "write 0p 2048p"]);
        // Since 6.13 a page waits in its CPU's batch, which holds a reference, until 31 later ones push it out: these
        // do, and stay.
        pages.all(&["write 2048p 100p"]);
        assert_eq!(pages.fall(&["madvise 0p 2048p dontneed"]), 2048);
        pages.all(&["write 0p 2048p", "write 2200p 100p", "munmap 0p 1024p"]);
    });
    let expected = json!({
        "advise": {
            "nohugepage": {"unmapped_bytes": 0, "freed_bytes": 0},
            "dontneed": {
                "calls": 1, "unmapped_bytes": 2048 * PAGE, "freed_bytes": 2048 * PAGE,
                "refaulted_bytes": 2048 * PAGE,
            },
        },
        "munmap": {"calls": 1, "unmapped_bytes": 1024 * PAGE, "freed_bytes": 1024 * PAGE},
        "returned_bytes": (2048 + 1024) * PAGE, "returned_by": "freed", "effectiveness_ratio": 1.0,
        "kept_bytes": 1024 * PAGE,
    });
    assert_json(&process, &expected);
}

/// The kernel's own doing, not memtrace's: pages just touched are still referenced by the CPU's batch, so dropping them
/// frees them later, outside the call. At most one batch is missing.
#[test]
fn pages_just_touched_are_unmapped_now_and_freed_later() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        pages.all(&["mmap 0p 4096p", "madvise 0p 4096p nohugepage", "write 0p 2048p"]);
        assert_eq!(pages.fall(&["madvise 0p 2048p dontneed"]), 2048);
    });
    assert_json(&process, &json!({"advise": {"dontneed": {"unmapped_bytes": 2048 * PAGE}}}));
    let freed = process["advise"]["dontneed"]["freed_bytes"].as_u64().expect("freed_bytes") / PAGE;
    assert!((2048 - BATCH..=2048).contains(&freed), "freed {freed} of 2048 pages");
}

#[test]
fn with_exact_madv_free_and_zero_pages_free_nothing() {
    let mut pages = pages(&PINNED);
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        pages.all(&["mmap 0p 2048p", "madvise 0p 2048p nohugepage", "write 0p 1024p", "read 1024p 1024p"]);
        pages.all(&["madvise 0p 1024p free", "madvise 1024p 1024p dontneed"]);
    });
    let expected = json!({
        "advise": {
            "free": {"calls": 1, "unmapped_bytes": 0, "freed_bytes": 0},
            "dontneed": {"calls": 1, "unmapped_bytes": 0, "freed_bytes": 0},
        },
        "returned_bytes": 0, "returned_by": "freed", "kept_bytes": 0,
    });
    assert_json(&process, &expected);
}

/// As above, for each CPU: pages that wait in any CPU's batch when their call drops them are freed outside of it.
#[test]
fn threads_at_once_free_what_they_unmap_but_the_cpus_batches() {
    const THREADS: u64 = 4;
    let mut pages = pages(&["--threads", "4"]);
    let list = |n: u64| {
        let at = n * 4 * CHUNK;
        format!("write {at}p 1024p; madvise {at}p 1024p dontneed; write {at}p 1024p; munmap {at}p 1024p")
    };
    let lists: Vec<String> = (0..THREADS).map(list).collect();
    let process = ledger_of(&mut pages, &["--exact"], |pages| {
        pages.all(&["mmap 0p 8192p", "madvise 0p 8192p nohugepage"]);
        pages.ok(&format!("par {}", lists.join(" | ")));
    });
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as u64;
    for row in [&process["advise"]["dontneed"], &process["munmap"]] {
        assert_json(row, &json!({"calls": THREADS, "unmapped_bytes": THREADS * 1024 * PAGE, "approximate_calls": 0}));
        let freed = row["freed_bytes"].as_u64().expect("freed_bytes") / PAGE;
        let at_least = THREADS * (1024 - BATCH * cpus);
        assert!((at_least..=THREADS * 1024).contains(&freed), "freed {freed} of {} pages", THREADS * 1024);
    }
}
