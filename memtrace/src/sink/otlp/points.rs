//! Series as data points.
use super::names::{self, Name, Shape};
use crate::sink::metrics::{Families, Histogram, Label, Metric, Series, Value};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram as HistogramData, HistogramDataPoint, Metric as Proto, NumberDataPoint,
    Sum,
};

/// A request has no more: it stays below the 4 MiB that receivers take.
pub(super) const POINTS: usize = 4000;

/// Since 1970, ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) start_ns: u64,
    pub(super) now_ns: u64,
}

pub(super) fn attribute(key: &str, value: AnyKind) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, AnyKind::StringValue(value.to_owned()))
}

/// All of them, in pieces of so many points.
pub(super) fn metrics(families: Families, times: Times) -> Vec<(u64, Vec<Proto>)> {
    let mut pieces: Vec<(u64, Vec<Proto>)> = Vec::new();
    let mut stacks = Vec::new();
    for (metric, series) in families.into_some() {
        let Some(name) = names::of(metric) else { continue };
        if metric == Metric::StackInuse {
            stacks.clone_from(&series);
        }
        let series = if metric == Metric::MappedReady { beside_stacks(series, &stacks) } else { series };
        for (name, series) in by_name(metric, name, series) {
            for part in series.chunks(POINTS) {
                let proto = proto(metric, name, part, times);
                let points = part.len() as u64;
                match pieces.last_mut().filter(|(n, _)| n + points <= POINTS as u64) {
                    Some((n, of)) => {
                        *n += points;
                        of.push(proto);
                    }
                    None => pieces.push((points, vec![proto])),
                }
            }
        }
    }
    pieces
}

/// The charge of a container has another name.
fn by_name(metric: Metric, name: Name, series: Vec<Series>) -> Vec<(Name, Vec<Series>)> {
    if metric != Metric::Charge {
        return vec![(name, series)];
    }
    let is_container = |series: &Series| series.labels().any(|label| label.name == "container");
    let (containers, others) = series.into_iter().partition(is_container);
    let named: [(Name, Vec<Series>); 2] = [(names::CONTAINER_USAGE, containers), (name, others)];
    named.into_iter().filter(|(_, series)| !series.is_empty()).collect()
}

/// What is used by others than stacks; of the same instant.
fn beside_stacks(series: Vec<Series>, stacks: &[Series]) -> Vec<Series> {
    let mut stacks = stacks.iter();
    let less = |mut series: Series| {
        let stack = stacks.find(|stack| stack.shared == series.shared)?;
        if let (Value::Number(all), Value::Number(stack)) = (&mut series.value, &stack.value) {
            *all = (*all - stack).max(0.0);
        }
        Some(series)
    };
    series.into_iter().filter_map(less).collect()
}

fn proto(metric: Metric, name: Name, series: &[Series], times: Times) -> Proto {
    let numbers = || series.iter().map(|series| number(metric, name, series, times)).collect();
    let cumulative = AggregationTemporality::Cumulative.into();
    let data = match name.shape {
        Shape::Gauge => Data::Gauge(Gauge { data_points: numbers() }),
        Shape::Histogram => Data::Histogram(HistogramData {
            data_points: series.iter().map(|series| histogram(metric, series, times)).collect(),
            aggregation_temporality: cumulative,
        }),
        Shape::Counter | Shape::Total | Shape::UpDown => Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: cumulative,
            is_monotonic: name.shape != Shape::UpDown,
        }),
    };
    let (name, unit) = (name.name.to_owned(), name.unit.to_owned());
    Proto { name, description: metric.help().to_owned(), unit, data: Some(data), ..Proto::default() }
}

fn number(metric: Metric, name: Name, series: &Series, times: Times) -> NumberDataPoint {
    let value = match &series.value {
        Value::Number(value) if metric == Metric::Gogc => value * 100.0,
        Value::Number(value) => *value,
        Value::Histogram(histogram) => histogram.count() as f64,
    };
    // One metric is of one type: seconds have parts.
    let value = if name.unit == "s" { Number::AsDouble(value) } else { Number::AsInt(value as i64) };
    NumberDataPoint {
        attributes: attributes(metric, series),
        start_time_unix_nano: start_ns(name.shape, times),
        time_unix_nano: times.now_ns,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

/// Without a sum, as the kernel side has none.
fn histogram(metric: Metric, series: &Series, times: Times) -> HistogramDataPoint {
    let none = Histogram::default();
    let histogram = if let Value::Histogram(histogram) = &series.value { histogram } else { &none };
    HistogramDataPoint {
        attributes: attributes(metric, series),
        start_time_unix_nano: start_ns(Shape::Counter, times),
        time_unix_nano: times.now_ns,
        count: histogram.count(),
        bucket_counts: histogram.counts().to_vec(),
        explicit_bounds: Histogram::bounds_s().collect(),
        ..HistogramDataPoint::default()
    }
}

/// 0: not told.
fn start_ns(shape: Shape, times: Times) -> u64 {
    if shape == Shape::Counter { times.start_ns } else { 0 }
}

fn attributes(metric: Metric, series: &Series) -> Vec<KeyValue> {
    let of = |label: &Label| {
        let (name, is_number) = names::attribute(label.name);
        match label.value.parse().ok().filter(|_| is_number) {
            Some(number) => attribute(name, AnyKind::IntValue(number)),
            None if is_number => text("memtrace.process.group", &label.value),
            None => text(name, &label.value),
        }
    };
    let kind = match metric {
        Metric::StackInuse => Some(text("go.memory.type", "stack")),
        Metric::MappedReady => Some(text("go.memory.type", "other")),
        _ => None,
    };
    series.labels().map(of).chain(kind).collect()
}
