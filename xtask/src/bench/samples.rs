//! Repeated figures and what is said of them: median, least, most.

use serde::Serialize;
use std::collections::BTreeMap;

/// Median and spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len();
        let median = (sorted[n / 2] + sorted[(n - 1) / 2]) / 2.0;
        Some(Self { median, min, max })
    }
}

/// Figures by (measure, setup), one per repetition. Whatever is compared is compared within a repetition.
#[derive(Default)]
pub(super) struct Samples {
    values: BTreeMap<(&'static str, &'static str), BTreeMap<u32, Vec<f64>>>,
}

impl Samples {
    /// A figure measured more than once in a repetition counts as its mean.
    pub(super) fn add(&mut self, measure: &'static str, setup: &'static str, repetition: u32, value: f64) {
        self.values.entry((measure, setup)).or_default().entry(repetition).or_default().push(value);
    }

    fn at(&self, measure: &'static str, setup: &'static str, repetition: u32) -> Option<f64> {
        let values = self.values.get(&(measure, setup))?.get(&repetition)?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    fn over(&self, measure: &'static str, setup: &'static str, of: impl Fn(u32) -> Option<f64>) -> Option<Spread> {
        Spread::of(&self.each(measure, setup, of))
    }

    fn each(&self, measure: &'static str, setup: &'static str, of: impl Fn(u32) -> Option<f64>) -> Vec<f64> {
        let repetitions = self.values.get(&(measure, setup)).into_iter().flat_map(BTreeMap::keys);
        repetitions.filter_map(|r| of(*r)).collect()
    }

    pub(super) fn plain(&self, measure: &'static str, setup: &'static str) -> Option<Spread> {
        self.over(measure, setup, |r| self.at(measure, setup, r))
    }

    /// By how much `setup` is dearer than `than`.
    pub(super) fn added(&self, measure: &'static str, setup: &'static str, than: &'static str) -> Option<Spread> {
        self.over(measure, setup, |r| Some(self.at(measure, setup, r)? - self.at(measure, than, r)?))
    }

    /// What `setup` adds to `than`, in shares of `than`.
    pub(super) fn share(&self, measure: &'static str, setup: &'static str, than: &'static str) -> Option<Spread> {
        Spread::of(&self.shares(measure, setup, than))
    }

    /// The same, of each repetition.
    pub(super) fn shares(&self, measure: &'static str, setup: &'static str, than: &'static str) -> Vec<f64> {
        self.each(measure, setup, |r| Some(self.at(measure, setup, r)? / self.at(measure, than, r)? - 1.0))
    }

    /// What `setup` adds to `base`, in multiples of what `unit` adds to it.
    pub(super) fn multiple(
        &self,
        measure: &'static str,
        setup: &'static str,
        unit: &'static str,
        base: &'static str,
    ) -> Option<Spread> {
        self.over(measure, setup, |r| {
            let base = self.at(measure, base, r)?;
            Some((self.at(measure, setup, r)? - base) / (self.at(measure, unit, r)? - base))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_stay_within_a_repetition() {
        let mut samples = Samples::default();
        for (repetition, base) in [(0, 100.0), (1, 1000.0), (2, 10.0)] {
            samples.add("m", "base", repetition, base - 1.0);
            samples.add("m", "base", repetition, base + 1.0);
            samples.add("m", "unit", repetition, base + 20.0);
            samples.add("m", "setup", repetition, base + 50.0);
        }
        assert_eq!(samples.plain("m", "base"), Some(Spread { median: 100.0, min: 10.0, max: 1000.0 }));
        assert_eq!(samples.added("m", "setup", "base").map(|s| (s.min, s.max)), Some((50.0, 50.0)));
        assert_eq!(samples.multiple("m", "setup", "unit", "base").map(|s| s.median), Some(2.5));
        assert_eq!(samples.share("m", "setup", "base").map(|s| s.median), Some(0.5));
        assert_eq!(samples.plain("m", "nothing"), None);
    }
}
