//! The time from return to re-fault, out of the kernel's buckets of powers of two.
use memtrace_common::refault::BUCKETS;

/// Borders, as powers of two of ns: 16 µs, 131 µs, 1 ms, 8 ms, 67 ms, 268 ms, 1.07 s, 4.3 s, 17 s, 137 s. Not all that the
/// kernel has: each is a series of every process.
const BORDERS: [usize; 10] = [14, 17, 20, 23, 26, 28, 30, 32, 34, 37];
const S_PER_NS: f64 = 1e-9;

/// Pages in each bucket, the last without an end. There is no sum: the kernel keeps none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sink) struct Histogram([u64; BORDERS.len() + 1]);

impl Histogram {
    /// Bucket `i` of the kernel is `[2^i, 2^(i+1))` ns.
    pub(super) fn of(log2_ns: &[u64; BUCKETS]) -> Histogram {
        let mut histogram = Histogram::default();
        for (i, pages) in log2_ns.iter().enumerate() {
            let at = BORDERS.partition_point(|border| *border <= i);
            histogram.0[at] = histogram.0[at].saturating_add(*pages);
        }
        histogram
    }

    pub(in crate::sink) fn bounds_s() -> impl Iterator<Item = f64> {
        BORDERS.iter().map(|border| (1_u64 << border) as f64 * S_PER_NS)
    }

    /// Of each bucket alone.
    pub(in crate::sink) fn counts(&self) -> &[u64] {
        &self.0
    }

    pub(in crate::sink) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(super) fn add(&mut self, other: &Histogram) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, other)| *sum = sum.saturating_add(other));
    }

    pub(super) fn since(&self, before: &Histogram) -> Histogram {
        let mut grown = self.clone();
        grown.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = now.saturating_sub(before));
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_in_the_bucket_whose_border_is_next_above() {
        let mut log2_ns = [0; BUCKETS];
        for i in [0, 13, 14, 30, 36, 37, BUCKETS - 1] {
            log2_ns[i] = 1 << i;
        }
        let histogram = Histogram::of(&log2_ns);
        assert_eq!(histogram.count(), log2_ns.iter().sum::<u64>());
        // Below 2^14 ns; from there below 2^17; ... from 2^30 below 2^32; ... from 2^34 below 2^37; the rest.
        let expected = [1 + (1 << 13), 1 << 14, 0, 0, 0, 0, 0, 1 << 30, 0, 1 << 36, (1 << 37) + (1 << (BUCKETS - 1))];
        assert_eq!(histogram.counts(), expected);
        let bounds: Vec<f64> = Histogram::bounds_s().collect();
        assert!(bounds.is_sorted() && bounds.len() + 1 == histogram.counts().len());
        assert!((bounds[6] - 1.073741824).abs() < 1e-12, "{bounds:?}");
        assert_eq!(histogram.since(&histogram).count(), 0);
    }
}
