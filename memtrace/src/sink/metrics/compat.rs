//! The names that client_golang gives to what a process says of itself, for dashboards that are made for them.
use super::families::{Label, Value};
use super::process::{NS_PER_S, labels};
use super::table::Kind;
use super::text::{family, labelled, metric_type, valued};
use crate::dossier::Living;
use crate::goruntime::GoFigures;
use crate::procfs::clock::ClockOffset;
use crate::procfs::process::Stat;
use crate::timeline::Signal;
use prometheus::proto::{MetricFamily, MetricType, Summary};
use prometheus::{Error, TextEncoder};

/// What a series is made of.
struct Known<'a> {
    living: &'a Living,
    labels: Vec<Label>,
    /// `None`: it is no Go program, or not read.
    go: Option<&'a GoFigures>,
    /// `None`: it is gone.
    stat: Option<Stat>,
}

impl Known<'_> {
    fn of(living: &Living) -> Known<'_> {
        let stat = living.process.pid.and_then(|pid| Stat::read(pid).ok());
        let is_same = |stat: &Stat| living.process.start_time_ns.is_none_or(|start_ns| stat.started_at(start_ns));
        Known { living, labels: labels(living), go: living.go.as_deref(), stat: stat.filter(is_same) }
    }
}

pub(super) struct Name {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    value: fn(&Known<'_>) -> Option<f64>,
}

macro_rules! names {
    ($($name:literal $kind:ident $help:literal $value:expr;)*) => {
        pub(super) const NAMES: &[Name] = &[$(Name { name: $name, kind: Kind::$kind, help: $help, value: $value },)*];
    };
}

fn go(known: &Known<'_>, field: impl Fn(&GoFigures) -> u64) -> Option<f64> {
    known.go.map(|go| field(go) as f64)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_S as f64
}

names! {
    "go_goroutines" Gauge "Goroutines." |of| go(of, |go| go.goroutines);
    "go_threads" Gauge "Threads that the Go runtime has made." |of| go(of, |go| go.threads);
    "go_memstats_alloc_bytes" Gauge "Heap objects, live or not swept yet." |of| go(of, |go| go.alloc_bytes);
    "go_memstats_alloc_bytes_total" Counter "Allocated since the start." |of| go(of, |go| go.total_alloc_bytes);
    "go_memstats_mallocs_total" Counter "Objects allocated since the start." |of| go(of, |go| go.mallocs);
    "go_memstats_frees_total" Counter "Objects freed since the start." |of| go(of, |go| go.frees);
    "go_memstats_sys_bytes" Gauge "Obtained from the system, what was given back included." |of| go(of, |go| go.sys_bytes);
    "go_memstats_heap_alloc_bytes" Gauge "As go_memstats_alloc_bytes." |of| go(of, |go| go.alloc_bytes);
    "go_memstats_heap_sys_bytes" Gauge "HeapSys." |of| go(of, |go| go.heap_sys_bytes);
    "go_memstats_heap_idle_bytes" Gauge "HeapIdle." |of| go(of, |go| go.heap_idle_bytes);
    "go_memstats_heap_inuse_bytes" Gauge "HeapInuse." |of| go(of, |go| go.heap_inuse_bytes);
    "go_memstats_heap_released_bytes" Gauge "HeapReleased." |of| go(of, |go| go.heap_released_bytes);
    "go_memstats_heap_objects" Gauge "Objects that are allocated." |of| go(of, |go| go.mallocs.saturating_sub(go.frees));
    "go_memstats_stack_inuse_bytes" Gauge "StackInuse." |of| go(of, |go| go.stack_inuse_bytes);
    "go_memstats_stack_sys_bytes" Gauge "StackSys." |of| go(of, |go| go.stack_sys_bytes);
    "go_memstats_mspan_inuse_bytes" Gauge "MSpanInuse." |of| go(of, |go| go.mspan_inuse_bytes);
    "go_memstats_mspan_sys_bytes" Gauge "MSpanSys." |of| go(of, |go| go.mspan_sys_bytes);
    "go_memstats_mcache_inuse_bytes" Gauge "MCacheInuse." |of| go(of, |go| go.mcache_inuse_bytes);
    "go_memstats_mcache_sys_bytes" Gauge "MCacheSys." |of| go(of, |go| go.mcache_sys_bytes);
    "go_memstats_buck_hash_sys_bytes" Gauge "BuckHashSys." |of| go(of, |go| go.buck_hash_sys_bytes);
    "go_memstats_gc_sys_bytes" Gauge "GCSys." |of| go(of, |go| go.gc_sys_bytes);
    "go_memstats_other_sys_bytes" Gauge "OtherSys." |of| go(of, |go| go.other_sys_bytes);
    "go_memstats_next_gc_bytes" Gauge "NextGC." |of| go(of, |go| go.next_gc_bytes);
    "go_memstats_last_gc_time_seconds" Gauge "When the last collection ended, since 1970; 0: there was none."
        |of| of.go.map(|go| seconds(go.last_gc_ns));
    "process_resident_memory_bytes" Gauge "RSS."
        |of| of.living.point.as_ref()?.get(Signal::Rss).map(|bytes| bytes as f64);
    "process_virtual_memory_bytes" Gauge "Address space in use." |of| of.stat.as_ref().map(|of| of.virtual_bytes as f64);
    "process_cpu_seconds_total" Counter "CPU time, of user and system." |of| of.stat.as_ref().map(|of| seconds(of.cpu_ns));
    "process_start_time_seconds" Gauge "When it was started, since 1970, to the second that the clock says now."
        |of| of.stat.as_ref().map(|of| started_s(of.start_boottime_ns));
}

/// The pauses; without quantiles, which the runtime keeps of 256 cycles only.
const PAUSES: (&str, &str) = ("go_gc_duration_seconds", "Pauses of collections.");
const INFO: (&str, &str) = ("go_info", "1; the label version says by which Go it was built.");

fn started_s(boot_ns: u64) -> f64 {
    let monotonic_ns = ClockOffset::of_boot().to_monotonic(boot_ns);
    (seconds(ClockOffset::of_wall().from_monotonic(monotonic_ns))).round()
}

pub(super) fn render<'a>(processes: impl Iterator<Item = &'a Living>) -> Result<String, Error> {
    let known: Vec<Known<'_>> = processes.map(Known::of).collect();
    let series = |name: &Name| {
        let of = |of: &Known<'_>| {
            let value = Value::Number((name.value)(of)?);
            Some(valued(name.kind, labelled(&of.labels), &value))
        };
        family(name.name, name.help, metric_type(name.kind), known.iter().filter_map(of).collect())
    };
    let mut families: Vec<MetricFamily> = NAMES.iter().map(series).collect();
    families.push(family(PAUSES.0, PAUSES.1, MetricType::SUMMARY, known.iter().filter_map(pauses).collect()));
    families.push(family(INFO.0, INFO.1, MetricType::GAUGE, known.iter().filter_map(info).collect()));
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families)
}

fn pauses(of: &Known<'_>) -> Option<prometheus::proto::Metric> {
    let go = of.go?;
    let mut summary = Summary::default();
    summary.set_sample_count(go.num_gc);
    summary.set_sample_sum(seconds(go.pause_total_ns));
    let mut series = labelled(&of.labels);
    series.set_summary(summary);
    Some(series)
}

fn info(of: &Known<'_>) -> Option<prometheus::proto::Metric> {
    let version = &of.living.process.go.as_ref()?.version;
    let version = super::families::label("version", version);
    Some(valued(Kind::Gauge, labelled(of.labels.iter().chain([&version])), &Value::Number(1.0)))
}

#[cfg(test)]
pub(super) fn rows() -> String {
    let row = |name: &Name| format!("| `{}` | {} | {} |\n", name.name, name.kind.word(), name.help);
    let more =
        [(PAUSES, "summary"), (INFO, "gauge")].map(|((name, help), kind)| format!("| `{name}` | {kind} | {help} |\n"));
    NAMES.iter().map(row).chain(more).collect()
}
