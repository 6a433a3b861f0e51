//! Memory calls that are added up in the kernel. What a process leaves there is read and taken out when it has ended; of one
//! whose end no record told, later.
use super::Follower;
use crate::enrich::news::{FollowError, News};
use crate::event::{ProcessSample, TargetId, TaskEvent, TaskWhat};
use crate::procfs::clock;
use memtrace_common::advice;
use memtrace_common::sums::{ADVICE, Sums};
use std::collections::HashSet;

/// Who was not known at one sweep and is not at the next has ended unheard: less than that can wait in a queue.
const SWEEP_NS: u64 = 60_000_000_000;

/// Sums of processes that nobody knows.
#[derive(Debug, Default)]
pub(super) struct Strays {
    swept_ns: u64,
    seen: HashSet<TargetId>,
}

fn uses_free(sums: &Sums) -> bool {
    ADVICE.iter().zip(&sums.advise).any(|(value, of)| *value == advice::FREE && of.calls > of.failed_calls)
}

impl Follower {
    /// The process made lazy pages: its LazyFree is worth the walk from now on.
    pub fn uses_free(&mut self, pid: u32) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.uses_free = true;
        }
    }

    /// `None`: each of its calls is told.
    pub(super) fn sums(&mut self, pid: u32, target: TargetId) -> Option<Box<Sums>> {
        let read = self.kernel.sums_of(target);
        let sums = read.inspect_err(|why| log::debug!("{why}")).ok().flatten()?;
        if uses_free(&sums) {
            self.uses_free(pid);
        }
        Some(Box::new(sums))
    }

    /// As they are now.
    pub(super) fn tell_sums(&mut self, pid: u32, target: TargetId, tell: &mut impl FnMut(News)) {
        if let Some(sums) = self.sums(pid, target) {
            let t_ns = clock::monotonic_ns();
            tell(News::Sample(Box::new(ProcessSample { target, t_ns, sums: Some(sums), ..ProcessSample::default() })));
        }
    }

    /// Of one that has ended.
    pub(super) fn last_sums(
        &mut self,
        pid: u32,
        target: TargetId,
        tell: &mut impl FnMut(News),
    ) -> Result<(), FollowError> {
        self.tell_sums(pid, target, tell);
        Ok(self.kernel.end_sums(target)?)
    }

    /// Another program has taken the place of one that was known: an exec, or the pid is used again.
    pub(super) fn followed_by(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let (pid, target) = (event.meta.tgid, event.meta.target);
        let is_new = matches!(event.what, TaskWhat::Fork { .. } | TaskWhat::Exec { .. });
        match self.known.get(&pid).map(|known| known.target).filter(|before| is_new && *before != target) {
            Some(before) => self.last_sums(pid, before, tell),
            None => Ok(()),
        }
    }

    /// Ends those of processes that nobody knows of.
    pub(super) fn sweep_sums(&mut self, now_ns: u64) -> Result<(), FollowError> {
        if !self.kernel.sums_calls() || now_ns.saturating_sub(self.strays.swept_ns) < SWEEP_NS {
            return Ok(());
        }
        self.strays.swept_ns = now_ns;
        let known: HashSet<TargetId> = self.known.values().map(|known| known.target).collect();
        let strays: HashSet<TargetId> = self.kernel.summed()?.into_iter().filter(|id| !known.contains(id)).collect();
        for id in strays.intersection(&self.strays.seen) {
            log::debug!("target {id} has ended unheard: what its calls summed up to is left out");
            self.kernel.end_sums(*id)?;
        }
        self.strays.seen = strays;
        Ok(())
    }
}
