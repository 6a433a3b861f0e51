//! The immutable result of one interval or of the whole window: owned, in bytes and ns, absent where nothing is known.
use crate::account::Account;
use crate::aggregate::waterfall::Waterfall;
use crate::event::{GoCounters, MemoryEvents, PressureTold, TargetId};
pub use crate::goruntime::ReadBy;
use std::path::PathBuf;
use std::sync::Arc;

/// Which stretch of time a snapshot is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Since the last tick.
    Interval,
    /// Since the start.
    Summary,
}

/// Everything known about that stretch.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub kind: SnapshotKind,
    /// CLOCK_MONOTONIC: when it was taken, and from when on it counts.
    pub t_ns: u64,
    pub since_ns: u64,
    /// Ordered by target. An interval leaves out what had exited before it began.
    pub processes: Vec<ProcessSnapshot>,
    /// The host first, then cgroups by their path; those of which nothing was told are left out.
    pub pressure: Vec<PressureSnapshot>,
    /// Totals since the start, in an interval too.
    pub account: Account,
    /// What the reader must know to read the numbers right.
    pub notes: Vec<String>,
}

/// What a memory cgroup or the host told, and what its processes waited for memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PressureSnapshot {
    /// Directory; `None`: the host.
    pub cgroup: Option<PathBuf>,
    /// How many events.
    pub told: u64,
    /// v2.
    pub events: MemoryEvents,
    /// v1: low, medium, critical.
    pub levels: [u64; 3],
    pub out_of_memory: u64,
    pub threshold_passed: u64,
    /// What its triggers told; what stayed below their thresholds is not in it.
    pub stalled_some_ns: u64,
    pub stalled_full_ns: u64,
    /// Of those of its processes that are targets.
    pub reclaim_stalls: u64,
    pub reclaim_stall_ns: u64,
    pub reclaimed_bytes: u64,
    /// The newest events.
    pub newest: Vec<ToldSnapshot>,
}

/// One of them, and the Go counters of the processes there, by pid.
#[derive(Clone, Debug, PartialEq)]
pub struct ToldSnapshot {
    pub told: Arc<PressureTold>,
    pub heaps: Vec<(u32, GoCounters)>,
}

/// The Go build of an executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBuild {
    /// As in the binary: `go1.26.0`.
    pub version: String,
    /// `None`: it is a Go program, but its counters are not read.
    pub read_by: Option<ReadBy>,
}

/// Which figure `returned_bytes` is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnedBy {
    Freed,
    Unmapped,
    /// Some calls were measured, some not.
    Mixed,
}

impl ReturnedBy {
    /// The word used in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Freed => "freed",
            Self::Unmapped => "unmapped",
            Self::Mixed => "mixed",
        }
    }
}

/// One process, or the one entry that many folded processes share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSnapshot {
    pub target: TargetId,
    /// `None` for the entry that many folded processes share.
    pub pid: Option<u32>,
    /// CLOCK_BOOTTIME.
    pub start_time_ns: Option<u64>,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Directory of its memory cgroup.
    pub cgroup: Option<PathBuf>,
    pub go: Option<GoBuild>,
    /// How many processes this entry stands for; 1 unless it is the folded one.
    pub processes: u64,
    /// By advice name, in the order of the advice values.
    pub advise: Vec<(String, CallSnapshot)>,
    pub munmap: CallSnapshot,
    pub mmap: GrowthSnapshot,
    pub mremap: GrowthSnapshot,
    pub brk: GrowthSnapshot,
    /// `None`: calls were seen, but of none could be said what it did.
    pub returned_bytes: Option<u64>,
    pub returned_by: Option<ReturnedBy>,
    /// `None`: faults are not tracked.
    pub refaulted_bytes: Option<u64>,
    /// Returned bytes whose re-faults cannot be seen.
    pub untracked_bytes: Option<u64>,
    pub kept_bytes: Option<u64>,
    /// MADV_FREE pages still resident.
    pub lazy_bytes: Option<u64>,
    /// By how much what Go gave back is in memory again inside huge pages, which no fault shows; in summaries only.
    /// `None`: RSS was not looked at, at both ends.
    pub reinflated_bytes: Option<u64>,
    /// Returned of what was asked back and resident before, in [0, 1].
    pub effectiveness_ratio: Option<f64>,
    pub time_to_refault: Option<TimeToRefault>,
    pub rss: SpanSnapshot,
    pub heap: Option<HeapSnapshot>,
    /// Idle − released at the end.
    pub retained_idle_bytes: Option<u64>,
    /// RSS − heap in use at the end; negative when part of the heap in use is not resident.
    pub gap_bytes: Option<i64>,
    pub faults: Option<u64>,
    /// Handled by the kernel, but no program was started for them; at least so many. `None`: nobody can say.
    pub unseen_faults: Option<u64>,
    pub reclaim_stalls: u64,
    pub reclaim_stall_ns: u64,
    pub oom_killed: bool,
    pub exit: Option<ExitSnapshot>,
    /// All of its RSS at the start and at the end of the window; in summaries only. `None`: not looked at, or gone.
    pub waterfalls: [Option<Box<Waterfall>>; 2],
    pub notes: Vec<String>,
}

/// One advice kind, or munmap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallSnapshot {
    /// All calls, the failed ones included.
    pub calls: u64,
    pub failed_calls: u64,
    /// Of successful calls only.
    pub asked_bytes: u64,
    /// As measured, of failed calls too (ENOMEM half-way unmaps for real). `None`: no call could be measured.
    pub unmapped_bytes: Option<u64>,
    pub freed_bytes: Option<u64>,
    /// `None`: faults are not tracked.
    pub refaulted_bytes: Option<u64>,
    pub approximate_calls: u64,
    /// Calls of which nobody could say what they unmapped; they add nothing to the sums.
    pub unmeasured_calls: u64,
    /// Resident in the asked ranges before the calls, where it was counted.
    pub resident_before_bytes: Option<u64>,
    pub latency: Option<LatencySnapshot>,
}

/// Calls that make or move mappings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrowthSnapshot {
    pub calls: u64,
    pub failed_calls: u64,
    pub grown_bytes: u64,
    pub shrunk_bytes: u64,
}

/// Exact up to 32 calls, else within 1 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencySnapshot {
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

/// Estimates from log2 buckets, linear inside a bucket; only `count_pages` and, over a whole window, `max_ns` are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeToRefault {
    pub count_pages: u64,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub max_ns: Option<u64>,
    /// Share of the re-faults that came within one second of the return.
    pub within_1s_ratio: Option<f64>,
}

/// A quantity at the start of the stretch, at its highest and at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanSnapshot {
    pub start_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    pub end_bytes: Option<u64>,
}

/// Go's heap: in use, idle (free + released), released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapSnapshot {
    pub inuse: SpanSnapshot,
    pub idle: SpanSnapshot,
    pub released: SpanSnapshot,
}

/// Who sent the SIGKILL a process died of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KilledBy {
    Oom,
    Process { pid: u32, comm: String },
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitSnapshot {
    /// Exactly one of the two is known.
    pub code: Option<u8>,
    pub signal: Option<u8>,
    pub killed_by: Option<KilledBy>,
}
