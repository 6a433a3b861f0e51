//! What is read of a target beside its records.
use super::Follower;
use crate::decode;
use crate::enrich::news::{FollowError, News, tell_waterfall};
use crate::event::{GoHeap, ProcessSample, TargetId};
use crate::goruntime::memory;
use crate::host::plan::FaultHook;
use crate::procfs::clock;
use crate::procfs::process::{Stat, Status};
use crate::procfs::smaps::Rollup;
use memtrace_common::refault::FaultStats;

/// What a round reads of a process, once, for all who want it.
pub(super) struct Seen {
    /// Page faults that the kernel has counted, where these are compared.
    faults: Option<u64>,
    pub(super) status: Option<Status>,
    go: Option<GoHeap>,
}

impl Follower {
    /// `None`: it is not there; see [`Follower::still_there`].
    pub(super) fn see(
        &mut self,
        pid: u32,
        now_ns: u64,
        since_ns: u64,
        tell: &mut impl FnMut(News),
    ) -> Result<Option<Seen>, FollowError> {
        let Some(heap) = self.known.get(&pid).map(|known| known.described.heap_reader(pid)) else { return Ok(None) };
        // A watcher is about to read all of it.
        let counters = if self.watcher.is_some() { None } else { heap.read_unproven() };
        let Some(presence) = self.still_there(pid, now_ns, since_ns, tell)? else { return Ok(None) };
        let stat = presence.stat.as_ref();
        let go = counters.filter(|_| stat.is_some_and(|stat| heap.proves(stat))).as_ref().map(memory::heap);
        Ok(Some(Seen { faults: stat.map(|stat| stat.faults), status: presence.status, go }))
    }

    /// `seen`: what was just read of it, if anything was.
    pub(super) fn sample_one(&mut self, pid: u32, t_ns: u64, seen: Option<&Seen>, tell: &mut impl FnMut(News)) {
        let Some(target) = self.known.get(&pid).map(|known| known.target) else { return };
        let sums = self.sums(pid, target);
        let Some(known) = self.known.get_mut(&pid) else { return };
        let lazy_due = known.uses_free || !known.sampled;
        known.sampled = true;
        let (status, go) = match seen {
            Some(seen) => {
                let watched = || Some(self.watcher.as_ref()?.go(pid, target)?.heap());
                (seen.status.clone(), seen.go.or_else(watched))
            }
            None => (Status::read(pid).ok(), None),
        };
        let go = go.or_else(|| known.described.heap(pid));
        let figures = self.fault_figures(pid, seen.and_then(|seen| seen.faults));
        let Some(known) = self.known.get(&pid) else { return };
        tell(News::Sample(Box::new(ProcessSample {
            target,
            t_ns,
            rss_bytes: status.as_ref().and_then(Status::rss_bytes),
            rss_peak_bytes: status.as_ref().and_then(|s| s.rss_peak_bytes),
            lazy_bytes: if lazy_due { Rollup::read(pid).ok().map(|r| r.lazy_free_bytes) } else { None },
            go,
            faults: figures.as_ref().and_then(decode::fault::faults),
            unseen_faults: known.unseen.faults(),
            refaults: figures.as_ref().map(|f| self.decoder.refaults(f)),
            sums,
        })));
    }

    pub(super) fn compares_faults(&self) -> bool {
        self.kernel.fault_hook() == FaultHook::PerTask && !self.window_closed
    }

    /// The figures of the kernel, compared with its own count of the process's faults as long as both still count.
    /// `handled`: that count, if it was just read.
    pub(super) fn fault_figures(&mut self, pid: u32, handled: Option<u64>) -> Option<FaultStats> {
        let compares = self.compares_faults();
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
