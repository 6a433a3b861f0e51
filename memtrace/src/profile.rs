//! A profile: values by stack, and what a difference of two is. The same for goroutines and for heap allocations.
use crate::goruntime::Frame;
use std::collections::{BTreeMap, HashMap};

/// What a value counts, as pprof names it: `inuse_space` in `bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    pub name: String,
    pub unit: String,
}

impl ValueType {
    pub fn new(name: &str, unit: &str) -> ValueType {
        ValueType { name: name.to_owned(), unit: unit.to_owned() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Innermost call first.
    pub stack: Vec<Frame>,
    /// What tells samples with the same stack apart.
    pub labels: BTreeMap<String, String>,
    /// What is known beside: a number and its unit.
    pub numbers: BTreeMap<String, (i64, String)>,
    /// One for each type of the profile.
    pub values: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub types: Vec<ValueType>,
    /// Index of the one to look at first.
    pub shown: usize,
    /// One sample in so many of these.
    pub period: Option<(ValueType, i64)>,
    pub samples: Vec<Sample>,
}

/// Function, file and line of each frame, and the labels: addresses differ between two runs of a program.
type Key = (Vec<(Option<String>, Option<String>, Option<u32>)>, BTreeMap<String, String>);

impl Profile {
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.types.iter().position(|of| of.name == name)
    }

    /// Samples with the same stack and labels made one. Of numbers the largest is kept.
    pub fn merged(&self) -> Profile {
        let mut at: HashMap<Key, usize> = HashMap::new();
        let mut samples: Vec<Sample> = Vec::new();
        for sample in &self.samples {
            let index = *at.entry(key(sample)).or_insert(samples.len());
            match samples.get_mut(index) {
                Some(known) => known.add(sample),
                None => samples.push(sample.clone()),
            }
        }
        Profile { samples, ..self.clone() }
    }

    /// This one less an earlier one; what did not change is left out. `Err`: they do not count the same.
    pub fn since(&self, earlier: &Profile) -> Result<Profile, String> {
        if self.types != earlier.types {
            let names = |p: &Profile| p.types.iter().map(|of| of.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(format!("it is a profile of {}, not of {}", names(earlier), names(self)));
        }
        let negative = earlier.samples.iter().map(|sample| Sample {
            values: sample.values.iter().map(|value| value.saturating_neg()).collect(),
            // The ages of goroutines that may be gone.
            numbers: BTreeMap::new(),
            ..sample.clone()
        });
        let samples = self.samples.iter().cloned().chain(negative).collect();
        let mut all = Profile { samples, ..self.clone() }.merged();
        all.samples.retain(|sample| sample.values.iter().any(|value| *value != 0));
        Ok(all)
    }

    /// Largest first, by the magnitude of the shown value; ties by name, so that the order is always the same.
    pub fn sort(&mut self) {
        let shown = self.shown;
        self.samples.sort_by_cached_key(|sample| {
            let value = sample.values.get(shown).copied().unwrap_or(0);
            (std::cmp::Reverse(value.unsigned_abs()), key(sample))
        });
    }

    pub fn total(&self, index: usize) -> i64 {
        self.samples
            .iter()
            .filter_map(|sample| sample.values.get(index))
            .fold(0, |sum, value| sum.saturating_add(*value))
    }
}

impl Sample {
    fn add(&mut self, other: &Sample) {
        for (sum, value) in self.values.iter_mut().zip(&other.values) {
            *sum = sum.saturating_add(*value);
        }
        for (name, number) in &other.numbers {
            let known = self.numbers.entry(name.clone()).or_insert_with(|| number.clone());
            known.0 = known.0.max(number.0);
        }
    }
}

fn key(sample: &Sample) -> Key {
    let frames = sample.stack.iter().map(|frame| match &frame.function {
        Some(_) => (frame.function.clone(), frame.file.clone(), frame.line),
        None => (Some(format!("{:#x}", frame.address)), None, None),
    });
    (frames.collect(), sample.labels.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(function: &str, line: u32, value: i64) -> Sample {
        let frame = Frame { address: 1, function: Some(function.into()), file: None, line: Some(line) };
        Sample { stack: vec![frame], values: vec![value], ..Sample::default() }
    }

    fn profile(samples: Vec<Sample>) -> Profile {
        Profile { types: vec![ValueType::new("goroutine", "count")], shown: 0, period: None, samples }
    }

    #[test]
    fn a_difference_has_what_changed_and_nothing_else() {
        let now = profile(vec![sample("a", 1, 5), sample("b", 2, 3), sample("c", 3, 7), sample("a", 1, 1)]);
        let earlier = profile(vec![sample("b", 2, 3), sample("a", 1, 2), sample("d", 4, 9)]);
        let mut changed = now.since(&earlier).unwrap();
        changed.sort();
        let rows: Vec<(&str, i64)> =
            changed.samples.iter().map(|s| (s.stack[0].function.as_deref().unwrap(), s.values[0])).collect();
        assert_eq!(rows, [("d", -9), ("c", 7), ("a", 4)]);
        assert_eq!((changed.total(0), now.total(0), earlier.total(0)), (2, 16, 14));
    }

    #[test]
    fn profiles_of_different_things_have_no_difference() {
        let other = Profile { types: vec![ValueType::new("inuse_space", "bytes")], ..profile(Vec::new()) };
        let reason = profile(Vec::new()).since(&other).unwrap_err();
        assert_eq!(reason, "it is a profile of inuse_space, not of goroutine");
    }

    #[test]
    fn labels_and_lines_tell_samples_apart_and_the_longest_wait_counts() {
        let mut waiting = sample("a", 1, 1);
        waiting.labels.insert("state".into(), "waiting".into());
        let mut longer = waiting.clone();
        waiting.numbers.insert("waiting".into(), (3, "ns".into()));
        longer.numbers.insert("waiting".into(), (8, "ns".into()));
        let merged = profile(vec![waiting, sample("a", 1, 1), longer, sample("a", 2, 1)]).merged();
        assert_eq!(merged.samples.iter().map(|s| s.values[0]).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(merged.samples[0].numbers["waiting"].0, 8);
    }
}
