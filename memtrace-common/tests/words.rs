//! How the ranges of a victim's last words are laid out.
use memtrace_common::records::{WORD_BYTES, WORD_RANGES, WordPlan, WordRange};

#[test]
fn ranges_lie_one_behind_the_other_at_whole_words() {
    let plan = WordPlan::of([(100, 4, false), (200, 24, true), (300, 4096, false)]).expect("room");
    let expected = [(100, 4, 0), (200, 24, 8), (300, 4096, 32)];
    let expected = expected.map(|(address, bytes, start)| WordRange { address, bytes, start });
    assert_eq!((&plan.ranges[..3], plan.untouched), (&expected[..], 0b10));
    assert!(plan.ranges[3..].iter().all(|unused| unused.bytes == 0));
}

#[test]
fn what_does_not_fit_is_no_plan() {
    let ranges = |count: usize, bytes: u32| WordPlan::of((0..count as u64).map(|at| (at, bytes, false)));
    assert!(ranges(WORD_RANGES, 8).is_some() && ranges(WORD_RANGES + 1, 8).is_none());
    let whole = ranges(2, 4096).expect("room for whole pages");
    assert!(whole.ranges.iter().all(|range| (range.start + range.bytes) as usize <= WORD_BYTES));
    assert!(ranges(3, 4096).is_none(), "none may start where a whole one could not fit behind any other");
    assert!(ranges(1, 0).is_none() && ranges(1, 4097).is_none(), "a range is of one page");
}
