//! Prometheus' text format.
use super::families::{Families, Label, Series, Value};
use super::histogram::Histogram;
use super::table::{Kind, Metric};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram as ProtoHistogram, LabelPair, MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};

pub(super) fn encode(families: Families) -> Result<String, Error> {
    let mut text = String::new();
    for (metric, series) in families.into_some() {
        let series = series.into_iter().map(|series| proto(metric.kind(), series)).collect();
        let family = family(metric.name(), metric.help(), metric_type(metric.kind()), series);
        let encoded = TextEncoder::new().encode_to_string(&[family])?;
        match metric.kind() {
            Kind::Histogram => encoded.lines().filter(|line| !is_sum(line, metric)).for_each(|line| {
                text.push_str(line);
                text.push('\n');
            }),
            Kind::Counter | Kind::Gauge => text.push_str(&encoded),
        }
    }
    Ok(text)
}

/// The crate writes one whether there is any or not.
fn is_sum(line: &str, metric: Metric) -> bool {
    line.strip_prefix(metric.name()).is_some_and(|rest| rest.starts_with("_sum"))
}

pub(super) fn family(
    name: &str,
    help: &str,
    metric_type: MetricType,
    series: Vec<prometheus::proto::Metric>,
) -> MetricFamily {
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

pub(super) fn proto(kind: Kind, Series { labels, value }: Series) -> prometheus::proto::Metric {
    let mut series = prometheus::proto::Metric::from_label(labels.into_iter().map(pair).collect());
    match (kind, value) {
        (Kind::Counter, Value::Number(value)) => {
            let mut counter = Counter::default();
            counter.set_value(value);
            series.set_counter(counter);
        }
        (_, Value::Number(value)) => {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            series.set_gauge(gauge);
        }
        (_, Value::Histogram(histogram)) => series.set_histogram(buckets(&histogram)),
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

pub(super) fn pair(label: Label) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(label.name.to_owned());
    pair.set_value(label.value);
    pair
}
