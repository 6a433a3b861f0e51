//! Latencies of one kind of call: every value up to 32 of them, a histogram of two significant digits beyond; or what the
//! kernel counted, by powers of two.
//!
//! A histogram grows with its largest value: 6.5 KiB up to 0.5 ms, at most 15.5 KiB (the values are capped at 100 s).
use super::log2;
use crate::snapshot::LatencySnapshot;
use hdrhistogram::Histogram;
use memtrace_common::sums::{LATENCIES, LATENCY_LOG2, latency};

/// Up to here the values themselves are kept: most short-lived processes never need a histogram.
const FEW: usize = 32;
const MAX_NS: u64 = 100_000_000_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    max_ns: u64,
    few: Vec<u64>,
    many: Option<Box<Histogram<u32>>>,
    /// See [`latency`].
    summed: Option<Box<[u64; LATENCIES]>>,
}

impl Latency {
    pub(super) fn record(&mut self, ns: u64) {
        self.max_ns = self.max_ns.max(ns);
        if self.many.is_none() {
            if self.few.len() < FEW {
                self.few.push(ns);
                return;
            }
            self.promote();
        }
        self.record_many(ns);
    }

    /// What the kernel counted.
    pub(super) fn summed(log2_ns: [u64; LATENCIES], max_ns: u64) -> Self {
        Self { max_ns, summed: Some(Box::new(log2_ns)), ..Self::default() }
    }

    pub(super) fn is_estimated(&self) -> bool {
        self.summed.is_some()
    }

    /// Adds another's values.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.max_ns = self.max_ns.max(other.max_ns);
        if let Some(summed) = &other.summed {
            let ours = self.summed.get_or_insert_default();
            ours.iter_mut().zip(summed.iter()).for_each(|(sum, calls)| *sum += calls);
        }
        for ns in &other.few {
            self.record(*ns);
        }
        let Some(theirs) = &other.many else { return };
        if self.many.is_none() {
            self.promote();
        }
        if let Some(ours) = &mut self.many {
            let added = ours.add(theirs.as_ref());
            debug_assert!(added.is_ok(), "both hold two digits and ours grows as needed");
        }
    }

    pub(super) fn snapshot(&self) -> Option<LatencySnapshot> {
        if let Some(summed) = &self.summed {
            return self.estimate(**summed);
        }
        let at: Box<dyn Fn(f64) -> u64> = match &self.many {
            Some(many) => Box::new(|q| many.value_at_quantile(q).min(self.max_ns)),
            None if self.few.is_empty() => return None,
            None => {
                let mut sorted = self.few.clone();
                sorted.sort_unstable();
                Box::new(move |q| {
                    let rank = (q * sorted.len() as f64).ceil() as usize;
                    sorted[rank.clamp(1, sorted.len()) - 1]
                })
            }
        };
        Some(LatencySnapshot { p50_ns: at(0.5), p90_ns: at(0.9), p99_ns: at(0.99), max_ns: self.max_ns })
    }

    /// All of it by powers of two.
    fn estimate(&self, mut log2_ns: [u64; LATENCIES]) -> Option<LatencySnapshot> {
        self.few.iter().for_each(|ns| log2_ns[latency(*ns)] += 1);
        for value in self.many.iter().flat_map(|many| many.iter_recorded()) {
            log2_ns[latency(value.value_iterated_to())] += value.count_since_last_iteration();
        }
        let calls = log2_ns.iter().sum();
        let at = |q| log2::quantile(&log2_ns, LATENCY_LOG2, calls, q, self.max_ns);
        (calls > 0).then(|| LatencySnapshot { p50_ns: at(0.5), p90_ns: at(0.9), p99_ns: at(0.99), max_ns: self.max_ns })
    }

    fn promote(&mut self) {
        self.many = Histogram::new(2).ok().map(Box::new);
        for ns in std::mem::take(&mut self.few) {
            self.record_many(ns);
        }
    }

    fn record_many(&mut self, ns: u64) {
        if let Some(many) = &mut self.many {
            let ns = ns.min(MAX_NS);
            if many.record(ns).is_err() {
                many.saturating_record(ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(values: impl Iterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        values.for_each(|ns| latency.record(ns));
        latency
    }

    #[test]
    fn few_values_are_exact() {
        assert_eq!(Latency::default().snapshot(), None);
        let got = filled((1..=10).rev()).snapshot();
        assert_eq!(got, Some(LatencySnapshot { p50_ns: 5, p90_ns: 9, p99_ns: 10, max_ns: 10 }));
    }

    #[test]
    fn many_values_are_within_one_percent_and_order_does_not_matter() {
        let up = filled((1..=100_000).map(|n| n * 1000)).snapshot();
        assert_eq!(up, filled((1..=100_000).rev().map(|n| n * 1000)).snapshot());
        let got = up.unwrap();
        for (value, expected) in [(got.p50_ns, 50e6), (got.p90_ns, 90e6), (got.p99_ns, 99e6)] {
            assert!((value as f64 / expected - 1.0).abs() < 0.01, "{value} {expected}");
        }
        assert_eq!(got.max_ns, 100_000_000);
    }

    #[test]
    fn absorbed_equals_recorded_together() {
        let mut left = filled(1..=20);
        left.absorb(&filled(21..=200));
        assert_eq!(left.snapshot(), filled(1..=200).snapshot());
        assert_eq!(left.many.as_ref().map(|many| many.len()), Some(200));
    }

    #[test]
    fn an_absurd_latency_keeps_its_size_bounded() {
        let latency = filled((0..40).map(|_| u64::MAX));
        assert_eq!(latency.snapshot().map(|l| l.max_ns), Some(u64::MAX));
        let counters = latency.many.map_or(0, |many| many.distinct_values());
        assert!(counters * 4 <= 16 << 10, "{counters}");
    }
}
