//! What /proc and the Go runtime say of one process, once.
use crate::aggregate::ProcessInfo;
use crate::event::{GoHeap, TargetId, TaskEvent};
use crate::goruntime::{Finder, NotRead, memory};
use crate::procfs::process::{self, Incarnation, Stat};
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
    /// Another look would say the same.
    pub(super) is_settled: bool,
    /// Whose counters these are.
    incarnation: Option<Incarnation>,
}

pub(super) fn describe(finder: &mut Finder, pid: u32) -> Described {
    let incarnation = Incarnation::read(pid).ok();
    let found = finder.find(pid);
    // It may load a Go library yet.
    let is_settled = found.as_ref().is_ok_and(|go| go.is_settled);
    let (go, counters, refused) = match found {
        Ok(go) => {
            let counters = go.located.as_ref().map_or(0, |located| located.counters_address());
            let build = GoBuild { version: go.build.version, read_by: go.located.map(|located| located.read_by) };
            (Some(build), counters, go.refused)
        }
        Err(NotRead::Refused(why)) => (None, 0, Some(why)),
        Err(_) => (None, 0, None),
    };
    Described {
        comm: process::comm(pid).ok(),
        exe: process::exe(pid).ok().map(|p| p.display().to_string()),
        start_time_ns: Stat::read(pid).ok().map(|s| s.start_boottime_ns),
        go,
        counters,
        refused,
        is_settled,
        incarnation,
    }
}

impl Described {
    /// Whether the process is what was described: neither another one with its pid, nor has it called exec.
    pub(super) fn is_still(&self, pid: u32) -> bool {
        self.incarnation.is_some() && Incarnation::read(pid).ok() == self.incarnation
    }

    /// The heap's totals now; `None` where they are not read, did not add up this time, or are no longer its own.
    pub(super) fn heap(&self, pid: u32) -> Option<GoHeap> {
        if self.counters == 0 {
            return None;
        }
        let read = memory::read_counters(pid, self.counters).ok()?;
        memory::check(&read).ok()?;
        self.is_still(pid).then(|| memory::heap(&read))
    }

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
