//! What is read of a target beside its records.
use super::Follower;
use crate::decode;
use crate::enrich::news::{News, tell_waterfall};
use crate::event::{ProcessSample, TargetId};
use crate::host::plan::FaultHook;
use crate::procfs::clock;
use crate::procfs::process::{Stat, Status};
use crate::procfs::smaps::Rollup;
use memtrace_common::refault::FaultStats;

impl Follower {
    /// `handled`: how many page faults of it the kernel has handled, if that was just read.
    pub(super) fn sample_one(&mut self, pid: u32, t_ns: u64, handled: Option<u64>, tell: &mut impl FnMut(News)) {
        let Some(known) = self.known.get_mut(&pid) else { return };
        let status = Status::read(pid).ok();
        let lazy_due = known.uses_free || !known.sampled;
        known.sampled = true;
        let target = known.target;
        let figures = self.fault_figures(pid, handled);
        let Some(known) = self.known.get(&pid) else { return };
        tell(News::Sample(Box::new(ProcessSample {
            target,
            t_ns,
            rss_bytes: status.as_ref().and_then(Status::rss_bytes),
            rss_peak_bytes: status.as_ref().and_then(|s| s.rss_peak_bytes),
            lazy_bytes: if lazy_due { Rollup::read(pid).ok().map(|r| r.lazy_free_bytes) } else { None },
            go: known.described.heap(pid),
            faults: figures.as_ref().and_then(decode::fault::faults),
            unseen_faults: known.unseen.faults(),
            refaults: figures.as_ref().map(|f| self.decoder.refaults(f)),
        })));
    }

    /// The figures of the kernel, compared with its own count of the process's faults as long as both still count.
    pub(super) fn fault_figures(&mut self, pid: u32, handled: Option<u64>) -> Option<FaultStats> {
        let compares = self.kernel.fault_hook() == FaultHook::PerTask && !self.window_closed;
        let read = || if compares { Stat::read(pid).ok().map(|stat| stat.faults) } else { None };
        let before = handled.filter(|_| compares).or_else(read);
        let figures = if self.tracks_faults { self.kernel.fault_figures(pid).ok().flatten() } else { None };
        let known = self.known.get_mut(&pid)?;
        let figures = figures.filter(|f| f.target == known.target)?;
        known.unseen.compare(before, figures.faults, read);
        Some(figures)
    }

    /// The first look at a process that has memory of its own: of a command after its exec.
    pub(super) fn divide_first(&mut self, pid: u32, tell: &mut impl FnMut(News)) {
        let Some(known) = self.known.get_mut(&pid).filter(|known| !known.divided) else { return };
        if self.looks_left == 0 || known.described.comm.is_none() {
            return;
        }
        self.looks_left -= 1;
        known.divided = true;
        tell_waterfall(pid, known.target, &mut self.finder, tell);
    }

    pub(super) fn divide_last(&mut self, pid: u32, tell: &mut impl FnMut(News)) {
        if let Some(known) = self.known.get(&pid).filter(|known| known.divided) {
            tell_waterfall(pid, known.target, &mut self.finder, tell);
        }
    }

    /// What bounded a process that has just been killed, or ends itself: of what is charged to its cgroup, most is still
    /// there.
    pub fn killed(&mut self, pid: u32, target: TargetId, tell: &mut impl FnMut(News)) {
        if let Some(account) = self.watcher.as_ref().and_then(|watcher| watcher.account(pid)) {
            tell(News::Account(target, clock::monotonic_ns(), Box::new(account)));
        }
        let known = self.known.get(&pid).filter(|known| known.target == target);
        if let Some(bytes) = known.and_then(|known| known.described.address_space_limit_bytes) {
            tell(News::AddressSpace(target, bytes));
        }
    }

    /// The memory of a process is short.
    pub fn pressed(&mut self, pid: u32) {
        self.watcher.iter_mut().for_each(|watcher| watcher.pressed(pid, clock::monotonic_ns()));
    }

    /// A close look at a process, now.
    pub fn look(&mut self, pid: u32, tell: &mut impl FnMut(News)) {
        self.watcher.iter_mut().for_each(|watcher| watcher.look(pid, &mut self.finder, tell));
    }
}
