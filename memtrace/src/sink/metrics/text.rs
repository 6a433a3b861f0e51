//! Prometheus' text format.
use super::families::{Families, Label, Series, Value};
use super::histogram::Histogram;
use super::table::{Kind, Metric};
use prometheus::proto;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram as ProtoHistogram, LabelPair, MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};
use std::collections::HashMap;

pub(super) fn encode(families: Families) -> Result<String, Error> {
    let mut text = String::new();
    let mut labels = Labels::default();
    let encoder = TextEncoder::new();
    for (metric, series) in families.into_some() {
        let protos = series.iter().map(|of| valued(metric.kind(), labels.take(of), &of.value)).collect();
        let mut family = [family(metric.name(), metric.help(), metric_type(metric.kind()), protos)];
        match metric.kind() {
            Kind::Histogram => {
                encoder.encode_to_string(&family)?.lines().filter(|line| !is_sum(line, metric)).for_each(|line| {
                    text.push_str(line);
                    text.push('\n');
                });
            }
            Kind::Counter | Kind::Gauge => encoder.encode_utf8(&family, &mut text)?,
        }
        let [family] = &mut family;
        series.iter().zip(family.mut_metric().drain(..)).for_each(|(of, written)| labels.give_back(of, written));
    }
    Ok(text)
}

/// A series of the crate owns its labels, two strings each: those of a process are made once, and go from one metric to the
/// next. By where the shared ones are; none are made meanwhile.
#[derive(Default)]
struct Labels(HashMap<*const Label, proto::Metric>);

impl Labels {
    fn take(&mut self, series: &Series) -> proto::Metric {
        let shared = if series.own.is_none() { self.0.remove(&series.shared.as_ptr()) } else { None };
        shared.unwrap_or_else(|| labelled(series.labels()))
    }

    fn give_back(&mut self, series: &Series, written: proto::Metric) {
        if series.own.is_none() {
            self.0.insert(series.shared.as_ptr(), written);
        }
    }
}

/// The crate writes one whether there is any or not.
fn is_sum(line: &str, metric: Metric) -> bool {
    line.strip_prefix(metric.name()).is_some_and(|rest| rest.starts_with("_sum"))
}

pub(super) fn family(name: &str, help: &str, metric_type: MetricType, series: Vec<proto::Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(metric_type);
    family.set_metric(series);
    family
}

pub(super) fn metric_type(kind: Kind) -> MetricType {
    match kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    }
}

pub(super) fn labelled<'a>(labels: impl IntoIterator<Item = &'a Label>) -> proto::Metric {
    let pair = |label: &Label| {
        let mut pair = LabelPair::default();
        pair.set_name(label.name.to_owned());
        pair.set_value(label.value.clone());
        pair
    };
    proto::Metric::from_label(labels.into_iter().map(pair).collect())
}

pub(super) fn valued(kind: Kind, mut series: proto::Metric, value: &Value) -> proto::Metric {
    match (kind, value) {
        (Kind::Counter, Value::Number(value)) => {
            let mut counter = Counter::default();
            counter.set_value(*value);
            series.set_counter(counter);
        }
        (_, Value::Number(value)) => {
            let mut gauge = Gauge::default();
            gauge.set_value(*value);
            series.set_gauge(gauge);
        }
        (_, Value::Histogram(histogram)) => series.set_histogram(buckets(histogram)),
    }
    series
}

/// Each with all below it; the last, without an end, the encoder adds.
fn buckets(histogram: &Histogram) -> ProtoHistogram {
    let mut below = 0;
    let bucket = |(bound, count): (f64, &u64)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(below);
        bucket
    };
    let mut proto = ProtoHistogram::default();
    proto.set_bucket(Histogram::bounds_s().zip(histogram.counts()).map(bucket).collect());
    proto.set_sample_count(histogram.count());
    proto
}
