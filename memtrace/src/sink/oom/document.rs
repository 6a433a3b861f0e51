//! `memtrace.oom/1`: absent knowledge is null, sizes are integers in bytes, times in ns on CLOCK_MONOTONIC.
use crate::timeline::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Fields are added freely; renaming or dropping one takes a new number.
pub const OOM_SCHEMA: &str = "memtrace.oom/1";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    pub schema: String,
    /// `dossier`.
    pub kind: String,
    /// Unique by time and pid; a file name.
    pub id: String,
    /// `oom`, `kill`, `exit`, `fatal`, `lost`, `headroom`, `command`.
    pub trigger: String,
    /// `cgroup_oom`, `global_oom`, `oom`, `killed`, `fatal`, `go_out_of_memory`, `exited`, `headroom`, `lost`.
    pub cause: String,
    /// When the trigger was; of one that lives: when it was written down.
    pub killed_at_ns: u64,
    /// RFC 3339, by the clock as it was when this was written.
    pub killed_at_wall: String,
    pub wall_uncertainty_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstructed: Option<ReconstructedJson>,
    pub victim: VictimJson,
    /// What the death is counted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadJson>,
    pub cgroup: Option<CgroupJson>,
    pub kernel: KernelJson,
    pub last_words: Option<WordsJson>,
    pub go_said: Option<SaidJson>,
    pub anchors: Vec<AnchorJson>,
    pub sources: Vec<SourceJson>,
    pub verdict: VerdictJson,
    pub waterfall: Waterfalls,
    pub ledger: LedgerJson,
    pub top: TopJson,
    pub timeline: TimelineJson,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkloadJson {
    pub name: String,
    /// `kubernetes`, `cgroup`, `exe`.
    pub by: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VictimJson {
    pub pid: Option<u32>,
    pub comm: Option<String>,
    pub exe: Option<String>,
    pub go_version: Option<String>,
    pub start_time_ns: Option<u64>,
    pub exit_code: Option<u8>,
    pub exit_signal: Option<u8>,
    /// `oom`, or the name of the process that sent the signal.
    pub killed_by: Option<String>,
    pub killer_pid: Option<u32>,
}

/// The account after the kill, as in `memtrace.explain/1`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CgroupJson {
    pub after_kill_ns: u64,
    #[serde(flatten)]
    pub account: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KernelJson {
    pub allocator_pid: Option<u32>,
    pub cgroup_v1_id: Option<u64>,
    pub cgroup_v2_id: Option<u64>,
    pub total_vm_bytes: Option<u64>,
    pub anon_rss_bytes: Option<u64>,
    pub file_rss_bytes: Option<u64>,
    pub shmem_rss_bytes: Option<u64>,
    pub page_tables_bytes: Option<u64>,
    pub oom_score_adj: Option<i64>,
    /// Go's counters at the kill, read by the kernel.
    pub heap_inuse_bytes: Option<u64>,
    pub heap_released_bytes: Option<u64>,
    pub go_mapped_ready_bytes: Option<u64>,
    pub log: Vec<LogJson>,
}

/// Go's statistics, copied by the kernel as the victim left: without what Ps had not yet flushed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WordsJson {
    pub t_ns: u64,
    pub heap_alloc_bytes: u64,
    pub heap_inuse_bytes: u64,
    pub heap_idle_bytes: u64,
    pub heap_released_bytes: u64,
    pub heap_live_bytes: u64,
    pub stack_inuse_bytes: u64,
    pub go_mapped_ready_bytes: u64,
    pub gomemlimit_bytes: Option<u64>,
    pub gogc_percent: Option<u32>,
    pub goroutines: u64,
    pub gc_cycles: u32,
    pub gc_phase: Option<String>,
}

/// What the Go runtime said as it ended the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SaidJson {
    pub t_ns: u64,
    /// `throw`, `fatal`, `panic`: which of the runtime's functions.
    pub error: String,
    pub message: Option<String>,
    /// Innermost first.
    pub stack: Vec<FrameJson>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameJson {
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogJson {
    /// On the log's own clock.
    pub stamp_ns: u64,
    pub text: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AnchorJson {
    pub what: String,
    pub t_ns: u64,
    pub uncertainty_ns: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceJson {
    pub name: String,
    /// Null: this source has nothing.
    pub age_ns: Option<u64>,
    /// Of what the kernel walked; null for all others. Null: it is not known how many there were.
    #[serde(default)]
    pub walked: Option<u64>,
    #[serde(default)]
    pub of: Option<u64>,
    /// `end`: all there were; `count`: one in so many; else what ended the walk too early.
    #[serde(default)]
    pub stopped_by: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VerdictJson {
    pub pattern: String,
    pub confidence_ratio: f64,
    pub evidence: Vec<EvidenceJson>,
    pub runner_up: Option<RunnerUpJson>,
    pub advice: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EvidenceJson {
    pub text: String,
    pub signal: Option<String>,
    pub t_ns: Option<u64>,
    pub value: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunnerUpJson {
    pub pattern: String,
    pub confidence_ratio: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waterfalls {
    pub before: Option<WaterfallJson>,
    pub last: Option<WaterfallJson>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WaterfallJson {
    pub t_ns: u64,
    pub rss_bytes: u64,
    pub buckets: Vec<BucketJson>,
    pub unknown_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BucketJson {
    pub name: String,
    pub bytes: u64,
}

/// Since the process was watched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LedgerJson {
    pub returned_bytes: Option<u64>,
    pub refaulted_bytes: Option<u64>,
    pub kept_bytes: Option<u64>,
    pub untracked_bytes: Option<u64>,
    pub lazy_bytes: Option<u64>,
    pub faults: Option<u64>,
    pub reclaim_stalls: u64,
    pub reclaim_stall_ns: u64,
    pub time_to_refault_p50_ns: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TopJson {
    pub heap: Vec<GrowthJson>,
    pub goroutines: Vec<GrowthJson>,
    pub mappings: Vec<GrowthJson>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GrowthJson {
    pub name: String,
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub before_count: u64,
    pub after_count: u64,
}

/// A column for each signal, as long as `t_ns`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TimelineJson {
    pub t_ns: Vec<u64>,
    pub signals: BTreeMap<String, Vec<Option<u64>>>,
    pub dropped_chunks: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<GapJson>,
    /// What happened between the points.
    #[serde(default)]
    pub events: Vec<MarkJson>,
    #[serde(default)]
    pub dropped_events: u64,
}

/// Pressure that was told, as in `memtrace.trace/1`, or stalls to reclaim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MarkJson {
    pub t_ns: u64,
    pub family: String,
    pub op: String,
    /// A sentence.
    pub text: String,
    pub detail: serde_json::Value,
    pub heap_inuse_bytes: Option<u64>,
    pub heap_released_bytes: Option<u64>,
}

/// memtrace was not running.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GapJson {
    pub from_ns: u64,
    pub to_ns: u64,
}

/// From what was saved before memtrace itself was killed; nobody saw the end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReconstructedJson {
    pub saved_at_ns: u64,
    /// Null: before the reboot, and so all times are on another clock than today's.
    pub found_at_ns: Option<u64>,
    pub before_reboot: bool,
}

impl Document {
    /// One that was saved.
    pub fn parse(content: &[u8]) -> Result<Document, String> {
        let document: Document = serde_json::from_slice(content).map_err(|why| format!("it is damaged: {why}"))?;
        if document.schema == OOM_SCHEMA { Ok(document) } else { Err(format!("it is a {}", document.schema)) }
    }

    pub(super) fn column(&self, signal: Signal) -> Option<&[Option<u64>]> {
        self.timeline.signals.get(signal.name()).map(Vec::as_slice)
    }

    /// The last known value of a signal.
    pub(super) fn last(&self, signal: Signal) -> Option<u64> {
        self.column(signal)?.iter().rev().find_map(|value| *value)
    }
}
