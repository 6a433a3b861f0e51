//! What /proc and the Go runtime say of one process, once.
use super::whereabouts::HeapReader;
use crate::aggregate::ProcessInfo;
use crate::event::{GoHeap, TargetId, TaskEvent};
use crate::goruntime::{self, Finder, Located, NotRead, memory};
use crate::kernel::{Kernel, KernelError};
use crate::procfs::process::{self, Incarnation, Stat};
use crate::snapshot::GoBuild;
use memtrace_common::records::WordPlan;

/// A process, described.
#[derive(Clone, Debug, Default)]
pub(super) struct Described {
    pub(super) comm: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) start_time_ns: Option<u64>,
    /// Which build of its program it is.
    pub(super) release: Option<String>,
    pub(super) go: Option<GoBuild>,
    /// What is copied of it as it is killed; `None`: nothing.
    pub(super) words: Option<Box<WordPlan>>,
    /// Where its runtime is; `None`: not known.
    pub(super) located: Option<Box<Located>>,
    /// Why a Go process's counters are not read.
    pub(super) refused: Option<String>,
    /// RLIMIT_AS, where there is one.
    pub(super) address_space_limit_bytes: Option<u64>,
    /// This user may not look into it.
    pub(super) is_closed: bool,
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
    let is_closed = matches!(found, Err(NotRead::NotPermitted));
    let words = found.as_ref().ok().and_then(|go| {
        let plan = goruntime::plan_words(pid, go);
        plan.inspect_err(|why| log::debug!("pid {pid}: no last words: {why}")).ok()?.map(Box::new)
    });
    let located = found.as_ref().ok().and_then(|go| go.located.clone()).map(Box::new);
    let release = found.as_ref().ok().and_then(|go| go.build.release.clone());
    let (go, refused) = match found {
        Ok(go) => {
            let build = GoBuild { version: go.build.version, read_by: go.located.map(|located| located.read_by) };
            (Some(build), go.refused)
        }
        Err(NotRead::Refused(why)) => (None, Some(why)),
        Err(_) => (None, None),
    };
    Described {
        comm: process::comm(pid).ok(),
        exe: process::exe(pid).ok().map(|p| p.display().to_string()),
        start_time_ns: Stat::read(pid).ok().map(|s| s.start_boottime_ns),
        release,
        go,
        words,
        located,
        refused,
        address_space_limit_bytes: process::address_space_limit_bytes(pid),
        is_closed,
        is_settled,
        incarnation,
    }
}

impl Described {
    /// Where its Go counters are; 0: not known.
    pub(super) fn counters(&self) -> u64 {
        self.located.as_ref().map_or(0, |located| located.counters_address())
    }

    /// It has a Go runtime, read or not.
    pub(super) fn is_go(&self) -> bool {
        self.go.is_some()
    }

    /// Whether the process is what was described: neither another one with its pid, nor has it called exec.
    pub(super) fn is_still(&self, pid: u32) -> bool {
        self.incarnation.is_some() && Incarnation::read(pid).ok() == self.incarnation
    }

    /// Says in the target set where a target's Go runtime is. An exec between the description and this has cleared that
    /// there too early: what was entered is of the program before, and is withdrawn. The record of the exec, still to come,
    /// brings the right one.
    pub(super) fn enter(&self, kernel: &mut Kernel, pid: u32, target: TargetId, flags: u32) -> Result<(), KernelError> {
        // Whose records have counters, has last words.
        self.enter_words(kernel, pid)?;
        kernel.set_go_counters(pid, target, self.counters(), flags)?;
        if self.counters() != 0 && !self.is_still(pid) {
            kernel.set_go_counters(pid, target, 0, flags)?;
            kernel.withdraw_words(pid)?;
        }
        Ok(())
    }

    pub(super) fn enter_words(&self, kernel: &mut Kernel, pid: u32) -> Result<(), KernelError> {
        match (&self.words, &self.located) {
            (Some(words), Some(located)) => {
                kernel.set_words(pid, words)?;
                kernel.set_walk(pid, &goruntime::plan_walk(located))
            }
            _ => kernel.withdraw_words(pid),
        }
    }

    pub(super) fn heap_reader(&self, pid: u32) -> HeapReader {
        HeapReader::new(pid, self.counters(), self.incarnation)
    }

    /// The heap's totals now.
    pub(super) fn heap(&self, pid: u32) -> Option<GoHeap> {
        self.heap_reader(pid).read().as_ref().map(memory::heap)
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
            release: self.release.clone(),
            go: self.go.clone(),
        }
    }
}
