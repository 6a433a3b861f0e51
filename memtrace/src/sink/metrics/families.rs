//! Series by metric, before anybody has written them down.
use super::histogram::Histogram;
use super::table::Metric;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sink) struct Label {
    pub(in crate::sink) name: &'static str,
    pub(in crate::sink) value: String,
}

pub(super) fn label(name: &'static str, value: &str) -> Label {
    Label { name, value: value.to_owned() }
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::sink) enum Value {
    Number(f64),
    Histogram(Histogram),
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Number(value as f64)
    }
}

impl Value {
    /// What two processes have together.
    pub(super) fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Number(sum), Value::Number(other)) => *sum += other,
            (Value::Histogram(sum), Value::Histogram(other)) => sum.add(other),
            _ => {}
        }
    }

    /// By how much a total has grown.
    pub(super) fn since(&self, before: &Value) -> Value {
        match (self, before) {
            (Value::Number(now), Value::Number(before)) => Value::Number((now - before).max(0.0)),
            (Value::Histogram(now), Value::Histogram(before)) => Value::Histogram(now.since(before)),
            _ => self.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::sink) struct Series {
    /// Made once for all series of a process.
    pub(in crate::sink) shared: Arc<[Label]>,
    /// Behind those.
    pub(in crate::sink) own: Option<Label>,
    pub(in crate::sink) value: Value,
}

impl Series {
    pub(in crate::sink) fn labels(&self) -> impl Iterator<Item = &Label> {
        self.shared.iter().chain(&self.own)
    }
}

/// The series of each metric, in the order of the table.
#[derive(Debug)]
pub(in crate::sink) struct Families(Vec<Vec<Series>>);

impl Default for Families {
    fn default() -> Self {
        Self(vec![Vec::new(); Metric::ALL.len()])
    }
}

impl Families {
    pub(super) fn add(&mut self, metric: Metric, labels: &[Label], value: impl Into<Option<u64>>) {
        self.add_float(metric, labels, value.into().map(|value| value as f64));
    }

    pub(super) fn add_float(&mut self, metric: Metric, labels: &[Label], value: Option<f64>) {
        if let Some(value) = value {
            self.push(metric, Series { shared: labels.into(), own: None, value: Value::Number(value) });
        }
    }

    pub(super) fn push(&mut self, metric: Metric, series: Series) {
        self.0[metric as usize].push(series);
    }

    /// Those that have any.
    pub(in crate::sink) fn into_some(self) -> impl Iterator<Item = (Metric, Vec<Series>)> {
        Metric::ALL.iter().copied().zip(self.0).filter(|(_, series)| !series.is_empty())
    }
}
