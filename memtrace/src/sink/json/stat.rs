//! `memtrace.stat/1`.
use super::STAT_SCHEMA;
use super::account::AccountJson;
use super::told::PressuresJson;
use super::waterfall::WaterfallsJson;
use crate::snapshot::{
    CallSnapshot, ExitSnapshot, GoBuild, GrowthSnapshot, HeapSnapshot, KilledBy, LatencySnapshot, ProcessSnapshot,
    Snapshot, SnapshotKind, SpanSnapshot, TimeToRefault,
};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(super) struct StatJson<'a> {
    schema: &'static str,
    kind: &'static str,
    t_ns: u64,
    since_ns: u64,
    processes: Vec<ProcessJson<'a>>,
    pressure: Vec<PressuresJson<'a>>,
    notes: &'a [String],
    account: AccountJson<'a>,
}

#[derive(Serialize)]
pub(super) struct ProcessJson<'a> {
    pid: Option<u32>,
    target: u32,
    start_time_ns: Option<u64>,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    cgroup_path: Option<Cow<'a, str>>,
    go: Option<GoJson<'a>>,
    processes: u64,
    advise: BTreeMap<&'a str, CallJson>,
    munmap: CallJson,
    mmap: MmapJson,
    mremap: GrowthJson,
    brk: GrowthJson,
    returned_bytes: Option<u64>,
    returned_by: Option<&'static str>,
    refaulted_bytes: Option<u64>,
    untracked_bytes: Option<u64>,
    kept_bytes: Option<u64>,
    lazy_bytes: Option<u64>,
    reinflated_bytes: Option<u64>,
    effectiveness_ratio: Option<f64>,
    time_to_refault_ns: Option<TimeToRefaultJson>,
    rss_bytes: SpanJson,
    heap: Option<HeapJson>,
    retained_idle_bytes: Option<u64>,
    gap_bytes: Option<i64>,
    faults: Option<u64>,
    unseen_faults: Option<u64>,
    reclaim_stalls: u64,
    reclaim_stall_ns: u64,
    oom_killed: bool,
    exit: Option<ExitJson>,
    /// The buckets of `memtrace.explain/1` at the start and at the end of the window; null in intervals.
    waterfall: Option<WaterfallsJson<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct GoJson<'a> {
    version: &'a str,
    read_by: Option<&'static str>,
}

#[derive(Serialize)]
struct CallJson {
    calls: u64,
    failed_calls: u64,
    asked_bytes: u64,
    unmapped_bytes: Option<u64>,
    freed_bytes: Option<u64>,
    refaulted_bytes: Option<u64>,
    approximate_calls: u64,
    unmeasured_calls: u64,
    resident_before_bytes: Option<u64>,
    latency_ns: Option<LatencyJson>,
}

#[derive(Serialize)]
struct LatencyJson {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

#[derive(Serialize)]
struct MmapJson {
    calls: u64,
    failed_calls: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct GrowthJson {
    calls: u64,
    failed_calls: u64,
    grown_bytes: u64,
    shrunk_bytes: u64,
}

#[derive(Serialize)]
struct TimeToRefaultJson {
    count: u64,
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    max: Option<u64>,
    within_1s_ratio: Option<f64>,
}

#[derive(Serialize)]
struct SpanJson {
    start: Option<u64>,
    peak: Option<u64>,
    end: Option<u64>,
}

#[derive(Serialize)]
struct HeapJson {
    inuse_bytes: SpanJson,
    idle_bytes: SpanJson,
    released_bytes: SpanJson,
}

#[derive(Serialize)]
struct ExitJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<u8>,
    /// `"oom"`, or `"pid 4242 (kubelet)"`.
    killed_by: Option<String>,
}

impl<'a> StatJson<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            schema: STAT_SCHEMA,
            kind: match snapshot.kind {
                SnapshotKind::Interval => "interval",
                SnapshotKind::Summary => "summary",
            },
            t_ns: snapshot.t_ns,
            since_ns: snapshot.since_ns,
            processes: snapshot.processes.iter().map(ProcessJson::of).collect(),
            pressure: snapshot.pressure.iter().map(PressuresJson::of).collect(),
            notes: &snapshot.notes,
            account: AccountJson::of(&snapshot.account),
        }
    }
}

impl<'a> ProcessJson<'a> {
    pub(super) fn of(p: &'a ProcessSnapshot) -> Self {
        Self {
            pid: p.pid,
            target: p.target,
            start_time_ns: p.start_time_ns,
            comm: p.comm.as_deref(),
            exe: p.exe.as_deref(),
            cgroup_path: p.cgroup.as_ref().map(|path| path.to_string_lossy()),
            go: p.go.as_ref().map(GoJson::of),
            processes: p.processes,
            advise: p.advise.iter().map(|(name, call)| (name.as_str(), CallJson::of(call))).collect(),
            munmap: CallJson::of(&p.munmap),
            mmap: MmapJson { calls: p.mmap.calls, failed_calls: p.mmap.failed_calls, bytes: p.mmap.grown_bytes },
            mremap: GrowthJson::of(&p.mremap),
            brk: GrowthJson::of(&p.brk),
            returned_bytes: p.returned_bytes,
            returned_by: p.returned_by.map(|by| by.name()),
            refaulted_bytes: p.refaulted_bytes,
            untracked_bytes: p.untracked_bytes,
            kept_bytes: p.kept_bytes,
            lazy_bytes: p.lazy_bytes,
            reinflated_bytes: p.reinflated_bytes,
            effectiveness_ratio: p.effectiveness_ratio,
            time_to_refault_ns: p.time_to_refault.as_ref().map(TimeToRefaultJson::of),
            rss_bytes: SpanJson::of(&p.rss),
            heap: p.heap.as_ref().map(HeapJson::of),
            retained_idle_bytes: p.retained_idle_bytes,
            gap_bytes: p.gap_bytes,
            faults: p.faults,
            unseen_faults: p.unseen_faults,
            reclaim_stalls: p.reclaim_stalls,
            reclaim_stall_ns: p.reclaim_stall_ns,
            oom_killed: p.oom_killed,
            exit: p.exit.as_ref().map(ExitJson::of),
            waterfall: WaterfallsJson::of(&p.waterfalls),
            notes: &p.notes,
        }
    }
}

impl<'a> GoJson<'a> {
    fn of(go: &'a GoBuild) -> Self {
        Self { version: &go.version, read_by: go.read_by.map(|r| r.as_str()) }
    }
}

impl CallJson {
    fn of(call: &CallSnapshot) -> Self {
        Self {
            calls: call.calls,
            failed_calls: call.failed_calls,
            asked_bytes: call.asked_bytes,
            unmapped_bytes: call.unmapped_bytes,
            freed_bytes: call.freed_bytes,
            refaulted_bytes: call.refaulted_bytes,
            approximate_calls: call.approximate_calls,
            unmeasured_calls: call.unmeasured_calls,
            resident_before_bytes: call.resident_before_bytes,
            latency_ns: call.latency.as_ref().map(LatencyJson::of),
        }
    }
}

impl LatencyJson {
    fn of(latency: &LatencySnapshot) -> Self {
        Self { p50: latency.p50_ns, p90: latency.p90_ns, p99: latency.p99_ns, max: latency.max_ns }
    }
}

impl GrowthJson {
    fn of(growth: &GrowthSnapshot) -> Self {
        Self {
            calls: growth.calls,
            failed_calls: growth.failed_calls,
            grown_bytes: growth.grown_bytes,
            shrunk_bytes: growth.shrunk_bytes,
        }
    }
}

impl TimeToRefaultJson {
    fn of(time: &TimeToRefault) -> Self {
        Self {
            count: time.count_pages,
            p50: time.p50_ns,
            p90: time.p90_ns,
            p99: time.p99_ns,
            max: time.max_ns,
            within_1s_ratio: time.within_1s_ratio,
        }
    }
}

impl SpanJson {
    fn of(span: &SpanSnapshot) -> Self {
        Self { start: span.start_bytes, peak: span.peak_bytes, end: span.end_bytes }
    }
}

impl HeapJson {
    fn of(heap: &HeapSnapshot) -> Self {
        Self {
            inuse_bytes: SpanJson::of(&heap.inuse),
            idle_bytes: SpanJson::of(&heap.idle),
            released_bytes: SpanJson::of(&heap.released),
        }
    }
}

impl ExitJson {
    fn of(exit: &ExitSnapshot) -> Self {
        let killed_by = exit.killed_by.as_ref().map(|by| match by {
            KilledBy::Oom => "oom".to_owned(),
            KilledBy::Process { pid, comm } => format!("pid {pid} ({comm})"),
        });
        Self { code: exit.code, signal: exit.signal, killed_by }
    }
}
