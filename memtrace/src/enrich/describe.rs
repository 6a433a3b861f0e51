//! What /proc and the Go runtime say of one process, once.
use crate::aggregate::ProcessInfo;
use crate::event::{GoHeap, TargetId, TaskEvent};
use crate::goruntime::{self, memory};
use crate::procfs::process::{self, Stat};
use crate::snapshot::GoBuild;

/// A process, described.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub(super) comm: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) start_time_ns: Option<u64>,
    pub(super) go: Option<GoBuild>,
    /// Where its Go counters are; 0: not known.
    pub(super) counters: u64,
    /// Why a Go process's counters are not read.
    pub(super) refused: Option<String>,
}

pub(super) fn describe(pid: u32) -> Described {
    let found = goruntime::find(pid).ok();
    let (go, counters, refused) = match found {
        Some(go) => {
            let counters = go.located.as_ref().map_or(0, |located| located.counters_address());
            let build = GoBuild { version: go.build.version, read_by: go.located.map(|located| located.read_by) };
            (Some(build), counters, go.refused)
        }
        None => (None, 0, None),
    };
    Described {
        comm: process::comm(pid).ok(),
        exe: process::exe(pid).ok().map(|p| p.display().to_string()),
        start_time_ns: Stat::read(pid).ok().map(|s| s.start_boottime_ns),
        go,
        counters,
        refused,
    }
}

impl Described {
    /// All that a record says of a process that /proc was not, or can no longer be, asked about.
    pub(super) fn named(event: &TaskEvent) -> Self {
        Self { comm: Some(event.comm_text()), ..Self::default() }
    }

    pub(super) fn info(&self, target: TargetId, pid: u32) -> ProcessInfo {
        ProcessInfo {
            target,
            pid,
            start_time_ns: self.start_time_ns,
            comm: self.comm.clone(),
            exe: self.exe.clone(),
            go: self.go.clone(),
        }
    }
}

/// The heap's totals now; `None` where they are not read, or did not add up this time.
pub(super) fn heap(pid: u32, counters: u64) -> Option<GoHeap> {
    if counters == 0 {
        return None;
    }
    let read = memory::read_counters(pid, counters).ok()?;
    memory::check(&read).ok()?;
    Some(memory::heap(&read))
}
