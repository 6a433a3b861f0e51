//! What each metric is called by in OpenTelemetry: by its semantic conventions where they have it, else below `memtrace.`.
//! The page `docs/otlp.md` is this table.
use crate::sink::metrics::Metric;

/// How it is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A sum that only grows, since memtrace was started.
    Counter,
    /// The same, since another time, which is not told.
    Total,
    /// A sum that goes up and down.
    UpDown,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: &'static str,
    /// By the Unified Code for Units of Measure.
    pub(super) unit: &'static str,
    pub(super) shape: Shape,
}

macro_rules! names {
    ($($metric:ident $name:literal $unit:literal $shape:ident,)*) => {
        /// `None`: what it says is in the resource, or in the start time of points.
        pub(super) fn of(metric: Metric) -> Option<Name> {
            match metric {
                $(Metric::$metric => Some(Name { name: $name, unit: $unit, shape: Shape::$shape }),)*
                Metric::Build | Metric::SelfStart => None,
            }
        }
    };
}

names! {
    Resident "process.memory.usage" "By" UpDown,
    Returned "memtrace.returned" "By" Counter,
    Refaulted "memtrace.refaulted" "By" Counter,
    TimeToRefault "memtrace.time_to_refault" "s" Histogram,
    Kept "memtrace.kept" "By" UpDown,
    Lazy "memtrace.lazy" "By" UpDown,
    Faults "process.paging.faults" "{fault}" Counter,
    ReclaimStall "memtrace.reclaim_stall" "s" Counter,
    HeapInuse "memtrace.go.heap.inuse" "By" UpDown,
    HeapIdle "memtrace.go.heap.idle" "By" UpDown,
    HeapReleased "memtrace.go.heap.released" "By" UpDown,
    HeapAlloc "memtrace.go.heap.alloc" "By" UpDown,
    Allocated "go.memory.allocated" "By" Total,
    Allocations "go.memory.allocations" "{allocation}" Total,
    HeapLive "memtrace.go.heap.live" "By" UpDown,
    HeapGoal "go.memory.gc.goal" "By" UpDown,
    StackInuse "go.memory.used" "By" UpDown,
    MappedReady "go.memory.used" "By" UpDown,
    Goroutines "go.goroutine.count" "{goroutine}" UpDown,
    GcCycles "memtrace.go.gc.cycles" "{gc_cycle}" Total,
    RetainedIdle "memtrace.go.heap.retained_idle" "By" UpDown,
    Gap "memtrace.gap" "By" UpDown,
    GoLimit "go.memory.limit" "By" UpDown,
    Gogc "go.config.gogc" "%" UpDown,
    MaxProcs "go.processor.limit" "{thread}" UpDown,
    Waterfall "memtrace.waterfall" "By" UpDown,
    ReleasedResident "memtrace.go.heap.released_resident" "By" UpDown,
    WaterfallAge "memtrace.waterfall.age" "s" Gauge,
    Charge "memtrace.cgroup.charge" "By" Gauge,
    Limit "memtrace.cgroup.limit" "By" Gauge,
    Headroom "memtrace.cgroup.headroom" "By" Gauge,
    CgroupAnon "memtrace.cgroup.anon" "By" Gauge,
    CgroupFile "memtrace.cgroup.file" "By" Gauge,
    CgroupShmem "memtrace.cgroup.shmem" "By" Gauge,
    CgroupKernel "memtrace.cgroup.kernel" "By" Gauge,
    CgroupSlab "memtrace.cgroup.slab_reclaimable" "By" Gauge,
    CgroupPageTables "memtrace.cgroup.page_tables" "By" Gauge,
    CgroupSock "memtrace.cgroup.sock" "By" Gauge,
    CgroupSwap "memtrace.cgroup.swap" "By" Gauge,
    LimitHits "memtrace.cgroup.limit_hits" "{hit}" Total,
    CgroupOomKills "memtrace.cgroup.oom_kills" "{process}" Total,
    LeftOut "memtrace.processes.left_out" "{process}" UpDown,
    WithoutTimeline "memtrace.processes.without_timeline" "{process}" UpDown,
    Met "memtrace.processes.met" "{process}" Counter,
    Gone "memtrace.processes.gone" "{process}" Counter,
    Unidentified "memtrace.processes.unidentified" "{process}" Counter,
    Hits "memtrace.probe.hits" "{hit}" Counter,
    Filtered "memtrace.probe.filtered" "{hit}" Counter,
    Summed "memtrace.probe.summed" "{hit}" Counter,
    Submitted "memtrace.probe.submitted" "{hit}" Counter,
    Lost "memtrace.probe.lost" "{hit}" Counter,
    Shed "memtrace.shed_records" "{record}" Counter,
    DecodeErrors "memtrace.decode_errors" "{record}" Counter,
    Samples "memtrace.samples" "{sample}" Counter,
    SamplesThinned "memtrace.samples_thinned" "{sample}" Counter,
    CloseLooks "memtrace.close_looks" "{look}" Counter,
    OtlpSent "memtrace.otlp.sent" "{item}" Counter,
    OtlpDropped "memtrace.otlp.dropped" "{item}" Counter,
    OtlpFailures "memtrace.otlp.failed_attempts" "{attempt}" Counter,
    OtlpQueue "memtrace.otlp.queue" "By" UpDown,
    SelfResident "memtrace.self.memory.usage" "By" UpDown,
    SelfMaxResident "memtrace.self.memory.limit" "By" UpDown,
    TimelineBytes "memtrace.timeline.memory.limit" "By" UpDown,
    Shortened "memtrace.timeline.shortened" "{cut}" Counter,
    SelfCpu "memtrace.self.cpu.time" "s" Counter,
    SelfFds "memtrace.self.file_descriptor.count" "{file_descriptor}" UpDown,
    Reloads "memtrace.config.reloads" "{reload}" Counter,
    ReloadedWell "memtrace.config.last_reload.successful" "1" UpDown,
    OomKills "memtrace.oom_kills" "{process}" Total,
    Deaths "memtrace.deaths" "{process}" Total,
    RecordedRows "memtrace.recording.rows" "{row}" Counter,
    RecordedDropped "memtrace.recording.dropped_rows" "{row}" Counter,
    RecordedBytes "memtrace.recording.size" "By" UpDown,
    UploadedFiles "memtrace.recording.upload.files" "{file}" Counter,
    UploadedBytes "memtrace.recording.upload.size" "By" Counter,
    UploadFailures "memtrace.recording.upload.failures" "{attempt}" Counter,
    UploadWaiting "memtrace.recording.upload.waiting_files" "{file}" UpDown,
    UploadDropped "memtrace.recording.upload.dropped_files" "{file}" Counter,
    UploadSuccess "memtrace.recording.upload.last_success" "s" Gauge,
    WorkloadsLeftOut "memtrace.workloads.left_out" "{workload}" UpDown,
}

/// Of a cgroup that is a container's.
pub(super) const CONTAINER_USAGE: Name = Name { name: "container.memory.usage", unit: "By", shape: Shape::UpDown };

/// The attribute that a label is, and whether it is a number.
pub(super) fn attribute(label: &str) -> (&'static str, bool) {
    match label {
        "namespace" => ("k8s.namespace.name", false),
        "pod" => ("k8s.pod.name", false),
        "container" => ("k8s.container.name", false),
        "exe" => ("process.executable.name", false),
        "comm" => ("memtrace.process.comm", false),
        "pid" => ("process.pid", true),
        "start_time" => ("memtrace.process.start_time", true),
        "bucket" => ("memtrace.waterfall.bucket", false),
        "probe" => ("memtrace.probe.name", false),
        "reason" => ("memtrace.reason", false),
        "workload" => ("memtrace.workload.name", false),
        "by" => ("memtrace.workload.by", false),
        "trigger" => ("memtrace.trigger", false),
        "verdict" => ("memtrace.verdict", false),
        "signal" => ("memtrace.otlp.signal", false),
        "result" => ("memtrace.config.result", false),
        _ => ("memtrace.label", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::Kind;
    use std::fmt::Write as _;

    const LABELS: &[&str] = &[
        "namespace",
        "pod",
        "container",
        "exe",
        "comm",
        "pid",
        "start_time",
        "bucket",
        "probe",
        "reason",
        "workload",
        "by",
        "trigger",
        "verdict",
        "signal",
        "result",
    ];

    /// Whether the shape says the same as the kind does in Prometheus' format.
    fn agrees(kind: Kind, shape: Shape) -> bool {
        match kind {
            Kind::Counter => matches!(shape, Shape::Counter | Shape::Total),
            Kind::Gauge => matches!(shape, Shape::UpDown | Shape::Gauge),
            Kind::Histogram => shape == Shape::Histogram,
        }
    }

    #[test]
    fn the_page_is_the_table() {
        let page = include_str!("../../../../docs/otlp.md");
        let tables: Vec<&str> = page.split("\n\n").filter(|part| part.starts_with("| ")).map(str::trim_end).collect();
        let mut names = "| name | unit | shape | is |\n|---|---|---|---|".to_owned();
        for metric in Metric::ALL {
            let Some(name) = of(*metric) else { continue };
            let shape = match name.shape {
                Shape::Counter => "counter",
                Shape::Total => "counter, since another start",
                Shape::UpDown => "up-down counter",
                Shape::Gauge => "gauge",
                Shape::Histogram => "histogram",
            };
            let _ = write!(names, "\n| `{}` | `{}` | {shape} | `{}` |", name.name, name.unit, metric.name());
        }
        let mut attributes = "| label | attribute |\n|---|---|".to_owned();
        for label in LABELS {
            let (name, is_number) = attribute(label);
            let _ = write!(attributes, "\n| `{label}` | `{name}`{} |", if is_number { ", an integer" } else { "" });
        }
        assert_eq!(tables.first(), Some(&names.as_str()), "the first table must be:\n{names}");
        assert_eq!(tables.get(1), Some(&attributes.as_str()), "the second table must be:\n{attributes}");
        assert!(page.contains("`container.memory.usage`"));
    }

    #[test]
    fn every_metric_has_a_name_that_says_what_its_kind_says() {
        let mut seen = Vec::new();
        for metric in Metric::ALL {
            let Some(name) = of(*metric) else { continue };
            assert!(agrees(metric.kind(), name.shape), "{name:?}");
            assert!(!name.name.ends_with("_total") && !name.name.ends_with("_bytes"), "{name:?}");
            assert_eq!(name.unit == "By", metric.name().trim_end_matches("_total").ends_with("_bytes"), "{name:?}");
            seen.push(name.name);
        }
        let all = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len() + 1, all, "only go.memory.used is made of two");
        assert!(LABELS.iter().all(|label| attribute(label).0 != "memtrace.label"));
    }
}
