//! Memory that Go gave back and khugepaged fills again: HeapReleased says it is gone, RSS that it is not.
use memtrace_tests::matrix::{self, built};
use memtrace_tests::{Explained, Khugepaged, Memtrace, Processes as _, rss_bytes, wait_until};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// Holes all over a heap of small objects; explain and stat name them once they are full again.
#[track_caller]
fn refilled_holes_are_named(release: &str) {
    let mut program = matrix::start(&mut Command::new(built(release, "stripped")));
    for step in ["gogc 10000", "grow 200"] {
        matrix::run(&mut program, step);
    }
    let pid = program.pid();
    let mut memtrace = Memtrace::attach(pid, &[]);
    for step in ["free 7", "gc", "freeos"] {
        matrix::run(&mut program, step);
    }
    let low = rss_bytes(pid);
    memtrace.settle();
    let released = Explained::of(pid).0["memstats"]["heap_released"].as_u64().expect("bytes");
    assert!(released > 80 * MIB, "{release}: {released} released");
    wait_until("khugepaged to fill what was given back", || (rss_bytes(pid) > low + released / 10 * 8).then_some(()));

    let (explained, rss) = Explained::at_rest(pid);
    assert_eq!(explained.rss_bytes(), rss, "{release}: {:#}", explained.0);
    let (grown, found) = (explained.rss_bytes() - low, explained.bucket("released_thp_reinflation"));
    assert!(found * 10 >= grown * 9, "{release}: {found} of {grown} bytes in {:#}", explained.0);
    explained.assert_mostly_known(release);
    let buckets = explained.0["buckets"].as_array().expect("buckets");
    let bucket = buckets.iter().find(|bucket| bucket["name"] == "released_thp_reinflation").expect("the bucket");
    let advice = bucket["advice"].as_str().expect("advice");
    for part in ["max_ptes_none", "on kernel ", "GODEBUG=disablethp=1"] {
        assert!(advice.contains(part), "{release}: no {part} in: {advice}");
    }

    let summary = memtrace.interrupt().summary();
    let process = summary.process(pid);
    let number =
        |field: &str| process[field].as_u64().unwrap_or_else(|| panic!("{release}: no {field} in {process:#}"));
    assert!(number("returned_bytes") >= released / 10 * 9, "{release}: {process:#}");
    // No fault has brought it back.
    assert!(number("refaulted_bytes") < released / 10, "{release}: {process:#}");
    assert!(number("reinflated_bytes") * 10 >= grown * 9, "{release}: {grown} grown, {process:#}");
    let end = &process["waterfall"]["end"];
    assert!(end["unknown_bytes"].as_u64().expect("bytes") * 50 <= end["rss_bytes"].as_u64().expect("bytes"), "{end:#}");
    program.close_stdin();
    program.end();
}

#[test]
fn released_memory_that_khugepaged_fills_again_is_named() {
    let _khugepaged = Khugepaged::hurried();
    // Up to 1.20 Go forbids huge pages around each hole.
    for release in ["1.21.13", "1.22.10", "1.26.6"] {
        refilled_holes_are_named(release);
    }
}
