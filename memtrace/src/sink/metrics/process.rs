//! The series of one process.
use super::families::{Families, Label, Series, Value};
use super::histogram::Histogram;
use super::table::Metric;
use crate::dossier::{Divided, Living, Present, headroom};
use crate::timeline::Signal;
use std::path::Path;
use std::sync::Arc;

pub(super) const NS_PER_S: u64 = 1_000_000_000;
/// An older look says nothing of now; without any need there is one every 300 s.
const RECENT_NS: u64 = 600 * NS_PER_S;

/// One number of it.
pub(super) struct Figure {
    pub(super) metric: Metric,
    /// Beside those of the process.
    label: Option<(&'static str, &'static str)>,
    pub(super) value: Value,
}

const SIGNALS: &[(Metric, Signal)] = &[
    (Metric::Resident, Signal::Rss),
    (Metric::HeapInuse, Signal::HeapInuse),
    (Metric::HeapIdle, Signal::HeapIdle),
    (Metric::HeapReleased, Signal::HeapReleased),
    (Metric::HeapAlloc, Signal::HeapAlloc),
    (Metric::Allocated, Signal::TotalAlloc),
    (Metric::HeapLive, Signal::HeapLive),
    (Metric::HeapGoal, Signal::HeapGoal),
    (Metric::StackInuse, Signal::StackInuse),
    (Metric::MappedReady, Signal::MappedReady),
    (Metric::Goroutines, Signal::Goroutines),
    (Metric::GcCycles, Signal::GcCycles),
    (Metric::GoLimit, Signal::Gomemlimit),
    (Metric::Charge, Signal::Charge),
    (Metric::Limit, Signal::Limit),
    (Metric::CgroupAnon, Signal::CgroupAnon),
    (Metric::CgroupFile, Signal::CgroupFile),
    (Metric::CgroupShmem, Signal::CgroupShmem),
    (Metric::CgroupKernel, Signal::CgroupKernel),
    (Metric::CgroupSlab, Signal::CgroupSlabReclaimable),
    (Metric::CgroupPageTables, Signal::CgroupPageTables),
    (Metric::CgroupSock, Signal::CgroupSock),
    (Metric::CgroupSwap, Signal::CgroupSwap),
    (Metric::LimitHits, Signal::LimitHits),
    (Metric::CgroupOomKills, Signal::OomKills),
];

pub(super) fn figures(living: &Living, present: &Present) -> Vec<Figure> {
    let process = &living.process;
    let of = |signal| living.point.as_ref().and_then(|point| point.get(signal));
    let mut figures = Vec::with_capacity(Metric::ALL.len());
    let mut add = |metric, value: Option<Value>| {
        figures.extend(value.map(|value| Figure { metric, label: None, value }));
    };
    for (metric, signal) in SIGNALS {
        add(*metric, of(*signal).map(Value::from));
    }
    let (inuse, idle, released) = (of(Signal::HeapInuse), of(Signal::HeapIdle), of(Signal::HeapReleased));
    for (metric, value) in [
        (Metric::Returned, process.returned_bytes),
        (Metric::Refaulted, process.refaulted_bytes),
        (Metric::Kept, process.kept_bytes),
        (Metric::Lazy, process.lazy_bytes),
        (Metric::Faults, process.faults),
        (Metric::RetainedIdle, idle.zip(released).map(|(idle, released)| idle.saturating_sub(released))),
        (Metric::Headroom, living.point.as_ref().and_then(headroom)),
        (Metric::Allocations, living.go.as_ref().map(|go| go.mallocs)),
        (Metric::MaxProcs, living.go.as_ref().map(|go| go.procs)),
    ] {
        add(metric, value.map(Value::from));
    }
    let gap = of(Signal::Rss).zip(inuse).map(|(resident, inuse)| resident as f64 - inuse as f64);
    let stall = present.knows_stalls.then_some(process.reclaim_stall_ns as f64 / NS_PER_S as f64);
    let gogc = of(Signal::GogcPercent).map(|percent| percent as f64 / 100.0);
    for (metric, value) in [(Metric::Gap, gap), (Metric::ReclaimStall, stall), (Metric::Gogc, gogc)] {
        add(metric, value.map(Value::Number));
    }
    let refaults = living.refaults.as_ref().map(|refaults| Histogram::of(&refaults.log2_ns));
    add(Metric::TimeToRefault, refaults.map(Value::Histogram));
    let recent = living.divided.as_ref().filter(|of| present.t_ns.saturating_sub(of.t_ns) < RECENT_NS);
    if let Some(divided) = recent {
        add(Metric::WaterfallAge, Some(Value::Number(age_s(divided, present))));
        let resident: u64 =
            divided.buckets.iter().filter(|(name, _)| name.starts_with("released_")).map(|of| of.1).sum();
        add(Metric::ReleasedResident, released.map(|_| resident.into()));
        let bucket = |(name, bytes): &(&'static str, u64)| Figure {
            metric: Metric::Waterfall,
            label: Some(("bucket", name)),
            value: (*bytes).into(),
        };
        figures.extend(divided.buckets.iter().map(bucket));
    }
    figures
}

fn age_s(divided: &Divided, present: &Present) -> f64 {
    present.t_ns.saturating_sub(divided.t_ns) as f64 / NS_PER_S as f64
}

pub(super) fn add(families: &mut Families, living: &Living, figures: Vec<Figure>) {
    let labels: Arc<[Label]> = labels(living).into();
    for Figure { metric, label, value } in figures {
        let own = label.map(|(name, value)| Label { name, value: value.to_owned() });
        families.push(metric, Series { shared: labels.clone(), own, value });
    }
}

/// Only those that are known: an empty label is no label.
pub(super) fn labels(living: &Living) -> Vec<Label> {
    let process = &living.process;
    let names = living.workload.as_ref().and_then(|workload| workload.names.as_ref());
    let exe = process.exe.as_ref().and_then(|exe| Path::new(exe).file_name()).map(|name| name.to_string_lossy());
    let pid = process.pid.map(|pid| pid.to_string());
    // Since the start of the machine: the wall clock may be set, and one process would be two.
    let start_time = process.start_time_ns.map(|ns| (ns / NS_PER_S).to_string());
    let known = [
        ("namespace", names.and_then(|names| names.namespace.as_deref())),
        ("pod", names.and_then(|names| names.pod.as_deref())),
        ("container", names.and_then(|names| names.container.as_deref())),
        ("exe", exe.as_deref()),
        ("comm", process.comm.as_deref()),
        ("pid", pid.as_deref()),
        ("start_time", start_time.as_deref()),
    ];
    known.into_iter().filter_map(|(name, value)| Some(Label { name, value: value?.to_owned() })).collect()
}
