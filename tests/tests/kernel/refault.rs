//! Which faults are re-faults: on pages that were returned, and only those, each once.
use crate::{ledger_of, pages};
use memtrace_tests::{CHUNK, PAGE, assert_json};
use serde_json::{Value, json};

const PREPARE: [&str; 3] = ["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"];

#[track_caller]
fn assert_refaults(process: &Value, returned: u64, refaulted: u64, untracked: u64) {
    let expected = json!({
        "advise": {"dontneed": {"unmapped_bytes": returned * PAGE, "refaulted_bytes": refaulted * PAGE}},
        "refaulted_bytes": refaulted * PAGE,
        "untracked_bytes": untracked * PAGE,
        "time_to_refault_ns": {"count": refaulted},
    });
    assert_json(process, &expected);
}

#[test]
fn pages_returned_again_after_a_refault_count_again() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 100p dontneed", "write 0p 100p", "madvise 0p 100p dontneed", "write 0p 100p"]);
        // Returned twice without a touch in between: once.
        pages.all(&["madvise 0p 100p dontneed", "madvise 0p 100p dontneed", "write 0p 30p"]);
    });
    assert_refaults(&process, 300, 230, 0);
    assert_json(&process, &json!({"kept_bytes": 70 * PAGE, "effectiveness_ratio": 1.0}));
}

#[test]
fn the_first_touch_of_memory_never_returned_is_no_refault() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        // Something is outstanding in the same chunk and in the next, so faults are looked at.
        pages.all(&["munmap 512p 512p", "mmap 512p 512p", "madvise 0p 8p dontneed"]);
        pages.all(&["write 512p 512p", "mmap 2048p 64p", "write 2048p 64p"]);
    });
    assert_refaults(&process, 8, 0, 0);
}

#[test]
fn a_page_read_before_it_is_written_comes_back_once() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 64p dontneed", "read 0p 64p", "write 0p 64p"]);
    });
    // Two faults a page, the first of which is the re-fault.
    assert_refaults(&process, 64, 64, 0);
    assert_json(&process, &json!({"faults": 1024 + 64 + 64}));
}

#[test]
fn memory_unmapped_and_mapped_anew_at_the_same_place_has_not_come_back() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 700p dontneed", "munmap 100p 500p", "mmap 100p 500p", "write 0p 700p"]);
    });
    assert_refaults(&process, 700, 200, 0);
}

#[test]
fn memory_mapped_over_has_not_come_back() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 700p dontneed", "over 100p 500p", "write 0p 700p"]);
    });
    assert_refaults(&process, 700, 200, 0);
}

#[test]
fn a_mapping_refused_where_returned_memory_lies_changes_nothing() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.ok("madvise 0p 64p dontneed");
        pages.fails("mmap 0p 64p", libc::EEXIST);
        pages.fails("munmap 1 262144", libc::EINVAL);
        pages.ok("write 0p 64p");
    });
    assert_refaults(&process, 64, 64, 0);
}

#[test]
fn what_moves_away_is_no_longer_followed_and_is_said_to_be_untracked() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 64p dontneed", "mremap 0p 1024p 1024p 8192p", "write 8192p 1024p"]);
        // A new mapping where the old one was.
        pages.all(&["mmap 0p 64p", "write 0p 64p"]);
    });
    assert_refaults(&process, 64, 0, 64);
}

#[test]
fn a_mapping_shortened_in_place_keeps_what_was_returned_in_the_rest() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 1000p dontneed", "mremap 0p 1024p 512p", "write 0p 512p"]);
        pages.all(&["mmap 512p 512p", "write 512p 512p"]);
    });
    // 488 of the returned pages are gone for good; the other 512 came back, or it is said that nobody watched.
    let sum = |field: &str| process[field].as_u64().expect("bytes");
    let (back, untracked) = (sum("refaulted_bytes"), sum("untracked_bytes"));
    assert!(back <= 512 * PAGE && back + untracked >= 512 * PAGE, "refaulted {back}, untracked {untracked}");
    assert!(back + untracked <= 1000 * PAGE, "refaulted {back}, untracked {untracked}");
}

#[test]
fn a_break_that_falls_and_rises_brings_nothing_back() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        let grown = pages.ok("brk 262144");
        let old = grown["extra"].as_u64().expect("the break");
        assert_eq!(old % PAGE, 0, "a break at the start of a page");
        let at = format!("@{old:#x}");
        pages.all(&[&format!("write {at} 64p"), &format!("madvise {at} 64p dontneed")]);
        pages.all(&["brk -131072", "brk 131072", &format!("write {at} 64p"), "brk -262144"]);
    });
    assert_refaults(&process, 64, 32, 0);
}

#[test]
fn threads_that_touch_the_same_returned_pages_at_once_bring_each_back_once() {
    let mut pages = pages(&["--threads", "4"]);
    let touch = "par write 0p 8192p | write 0p 8192p | write 0p 8192p | write 0p 8192p";
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 8192p", "madvise 0p 8192p nohugepage", touch]);
        for _ in 0..4 {
            pages.all(&["madvise 0p 8192p dontneed", touch]);
        }
    });
    assert_refaults(&process, 4 * 8192, 4 * 8192, 0);
}

#[test]
fn threads_that_return_and_touch_side_by_side_are_told_apart() {
    let mut pages = pages(&["--threads", "4"]);
    let list = |n: u64| {
        // Interleaved in the same chunks: thread n owns every fourth block of 16 pages.
        let blocks = (0..24).map(|block| {
            let at = (block * 4 + n) * 16;
            format!("write {at}p 16p; madvise {at}p 12p dontneed; write {at}p {n}p")
        });
        blocks.collect::<Vec<_>>().join("; ")
    };
    let lists: Vec<String> = (0..4).map(list).collect();
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&["mmap 0p 2048p", "madvise 0p 2048p nohugepage"]);
        pages.ok(&format!("par {}", lists.join(" | ")));
    });
    assert_refaults(&process, 4 * 24 * 12, 24 * (1 + 2 + 3), 0);
    assert_json(&process, &json!({"advise": {"dontneed": {"calls": 96, "approximate_calls": 0}}}));
}

#[test]
fn faults_inside_a_system_call_are_refaults_too() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.ok("madvise 0p 600p dontneed");
        let answer = pages.ok("sysread 0p 500p");
        assert_eq!(answer["result"], 500 * PAGE);
    });
    assert_refaults(&process, 600, 500, 0);
    assert_json(&process, &json!({"faults": 1024 + 500}));
}

#[test]
fn a_childs_touch_brings_nothing_back_to_its_parent() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &[], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 64p dontneed", "fork 1 write 0p 64p"]);
        pages.ok("write 0p 10p");
    });
    assert_refaults(&process, 64, 10, 0);
}

#[test]
fn what_does_not_fit_the_table_is_untracked_and_never_guessed() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &["--max-chunks", "4"], |pages| {
        pages.all(&["mmap 0p 4096p", "madvise 0p 4096p nohugepage", "write 0p 4096p"]);
        pages.all(&["madvise 0p 4096p dontneed", "write 0p 4096p"]);
    });
    // Eight chunks returned, room for four.
    assert_refaults(&process, 8 * CHUNK, 4 * CHUNK, 4 * CHUNK);
}

#[test]
fn the_table_has_room_again_once_memory_is_unmapped() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &["--max-chunks", "4"], |pages| {
        for _ in 0..6 {
            pages.all(&["mmap 0p 2048p", "madvise 0p 2048p nohugepage", "write 0p 2048p"]);
            pages.all(&["madvise 0p 2048p dontneed", "write 0p 100p", "munmap 0p 2048p"]);
        }
    });
    assert_refaults(&process, 6 * 2048, 600, 0);
}

#[test]
fn without_fault_tracking_nothing_is_said_about_what_came_back() {
    let mut pages = pages(&[]);
    let process = ledger_of(&mut pages, &["--no-faults"], |pages| {
        pages.all(&PREPARE);
        pages.all(&["madvise 0p 64p dontneed", "write 0p 64p"]);
    });
    let expected = json!({
        "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 64 * PAGE, "refaulted_bytes": null, "approximate_calls": 0}},
        "returned_bytes": 64 * PAGE, "refaulted_bytes": null, "kept_bytes": null, "untracked_bytes": null,
        "time_to_refault_ns": null, "faults": null,
    });
    assert_json(&process, &expected);
}

#[test]
fn a_forked_child_has_a_ledger_of_its_own() {
    let mut pages = pages(&[]);
    let memtrace = memtrace_tests::Memtrace::attach(pages.pid(), &[]);
    pages.all(&PREPARE);
    pages.ok("fork 1 madvise 0p 100p dontneed, write 0p 30p, madvise 500p 1p dontneed, write 500p 1p");
    pages.ok("write 0p 1024p");
    let summary = memtrace.interrupt().summary();
    let all = memtrace_tests::Processes::processes(&summary);
    let (parent, child): (Vec<_>, Vec<_>) = all.iter().partition(|process| process["pid"] == pages.pid());
    assert_eq!((parent.len(), child.len()), (1, 1), "{summary:#}");
    assert_refaults(child[0], 101, 31, 0);
    assert_json(child[0], &json!({"exit": {"code": 0}, "mmap": {"calls": 0}}));
    assert_json(parent[0], &json!({"advise": {"nohugepage": {"calls": 1}}, "returned_bytes": 0, "refaulted_bytes": 0}));
}
