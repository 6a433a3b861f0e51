//! Re-faults: totals from the kernel, differences per interval, percentiles from log2 buckets.
use super::log2::{self, bounds, clipped};
use crate::event::Refaults;
use crate::snapshot::TimeToRefault;
use memtrace_common::advice::GROUPS;
use memtrace_common::refault::BUCKETS;

const SECOND_NS: u64 = 1_000_000_000;

/// What came since `before`. The longest time of a difference is known only where it is a new record; else it is the
/// end of the highest bucket.
pub(super) fn since(now: &Refaults, before: Option<&Refaults>) -> Refaults {
    let Some(before) = before else { return now.clone() };
    let log2_ns: [u64; BUCKETS] = std::array::from_fn(|i| now.log2_ns[i].saturating_sub(before.log2_ns[i]));
    let highest = log2_ns.iter().rposition(|pages| *pages > 0);
    let max_ns = match highest {
        _ if now.max_ns > before.max_ns => now.max_ns,
        Some(i) => bounds(i, 0, BUCKETS).1.min(now.max_ns),
        None => 0,
    };
    Refaults {
        bytes: std::array::from_fn(|i| now.bytes[i].saturating_sub(before.bytes[i])),
        log2_ns,
        max_ns,
        untracked_bytes: now.untracked_bytes.saturating_sub(before.untracked_bytes),
    }
}

/// Totals of two processes together.
pub(super) fn add(into: &mut Refaults, other: &Refaults) {
    for i in 0..GROUPS {
        into.bytes[i] = into.bytes[i].saturating_add(other.bytes[i]);
    }
    for i in 0..BUCKETS {
        into.log2_ns[i] = into.log2_ns[i].saturating_add(other.log2_ns[i]);
    }
    into.max_ns = into.max_ns.max(other.max_ns);
    into.untracked_bytes = into.untracked_bytes.saturating_add(other.untracked_bytes);
}

pub(super) fn total_bytes(refaults: &Refaults) -> u64 {
    refaults.bytes.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

pub(super) fn time_to_refault(refaults: &Refaults) -> TimeToRefault {
    let count_pages = refaults.log2_ns.iter().fold(0_u64, |sum, pages| sum.saturating_add(*pages));
    if count_pages == 0 {
        return TimeToRefault::default();
    }
    let at = |q| log2::quantile(&refaults.log2_ns, 0, count_pages, q, refaults.max_ns);
    TimeToRefault {
        count_pages,
        p50_ns: Some(at(0.5)),
        p90_ns: Some(at(0.9)),
        p99_ns: Some(at(0.99)),
        max_ns: Some(refaults.max_ns),
        within_1s_ratio: Some(within(refaults, SECOND_NS) / count_pages as f64),
    }
}

fn within(refaults: &Refaults, limit_ns: u64) -> f64 {
    let share = |i: usize| {
        let (low, high) = clipped(bounds(i, 0, BUCKETS), refaults.max_ns);
        match (limit_ns >= high, limit_ns <= low) {
            (true, _) => 1.0,
            (_, true) => 0.0,
            _ => (limit_ns - low) as f64 / (high - low) as f64,
        }
    };
    refaults.log2_ns.iter().enumerate().map(|(i, pages)| *pages as f64 * share(i)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(buckets: &[(usize, u64)], max_ns: u64) -> Refaults {
        let mut log2_ns = [0; BUCKETS];
        buckets.iter().for_each(|(i, pages)| log2_ns[*i] = *pages);
        Refaults { bytes: [4096, 0, 0, 0], log2_ns, max_ns, untracked_bytes: 0 }
    }

    #[test]
    fn percentiles_are_linear_inside_a_bucket() {
        let got = time_to_refault(&with(&[(10, 100)], 2047));
        assert_eq!((got.count_pages, got.p50_ns, got.p90_ns, got.max_ns), (100, Some(1536), Some(1945), Some(2047)));
        assert_eq!(got.within_1s_ratio, Some(1.0));
    }

    #[test]
    fn the_last_bucket_and_the_longest_time_do_not_overflow() {
        let got = time_to_refault(&with(&[(0, 1), (BUCKETS - 1, 1)], u64::MAX));
        assert_eq!((got.count_pages, got.max_ns, got.within_1s_ratio), (2, Some(u64::MAX), Some(0.5)));
    }

    #[test]
    fn nothing_came_back() {
        assert_eq!(time_to_refault(&with(&[], 0)), TimeToRefault::default());
    }

    #[test]
    fn a_difference_knows_its_longest_only_when_it_is_a_record() {
        let before = with(&[(10, 5)], 2000);
        let same = since(&with(&[(10, 6)], 2000), Some(&before));
        assert_eq!((same.log2_ns[10], same.max_ns), (1, 2000));
        let record = since(&with(&[(10, 5), (11, 1)], 3000), Some(&before));
        assert_eq!((record.log2_ns[10], record.log2_ns[11], record.max_ns), (0, 1, 3000));
    }
}
