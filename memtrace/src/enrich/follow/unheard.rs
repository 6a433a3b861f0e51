//! Ends that no record told of. Rings drop records and count them; and where the kernel may be preempted in a program of
//! ours, it skips the next run of that program on this CPU (7.x, `__bpf_trace_run`). Who is gone must not be followed for
//! ever, nor stay in the kernel's set, where the next process with its pid would be taken for it.
use super::{Follower, Known};
use crate::enrich::news::{FollowError, News};
use crate::procfs::ProcError;
use crate::procfs::process::{Stat, Status};

/// So long it is gone before it is given up: its record may still be on the way.
const GRACE_NS: u64 = 2_000_000_000;

/// Whether a process is there, and what was read to know it.
pub(super) struct Presence {
    is_gone: bool,
    /// `None`: it was not asked for, or cannot be read.
    pub(super) stat: Option<Stat>,
    pub(super) status: Option<Status>,
}

impl Known {
    /// Once `stat` has said that it is the process which was described, `status`, which stays open, is of the same.
    fn presence(&mut self, wants_stat: bool) -> Presence {
        let status = self.kept.status();
        let stat = (wants_stat || !self.is_proven).then(|| self.kept.stat());
        let is_vanished = |why: &ProcError| matches!(why, ProcError::Vanished { .. });
        let is_gone = match (&stat, &status) {
            (Some(Ok(stat)), _) => !stat.is_alive_since(self.described.start_time_ns),
            (Some(Err(why)), _) | (None, Err(why)) => is_vanished(why),
            (None, Ok(status)) => status.is_dead(),
        };
        let stat = stat.and_then(Result::ok);
        if !wants_stat {
            self.kept.let_go_of_stat();
        }
        self.is_proven = !is_gone && self.kept.keeps_status() && (self.is_proven || stat.is_some());
        Presence { is_gone, stat, status: status.ok() }
    }
}

impl Follower {
    /// What this round reads of a process. `None`: it is not there, and is given up once that was so for long before
    /// `since_ns`: this round may have waited behind a slow one, and its record may wait behind this round.
    pub(super) fn still_there(
        &mut self,
        pid: u32,
        now_ns: u64,
        since_ns: u64,
        tell: &mut impl FnMut(News),
    ) -> Result<Option<Presence>, FollowError> {
        // Without a watcher its counters wait to be proven, too.
        let wants_stat = self.watcher.is_none() || self.compares_faults();
        let Some(known) = self.known.get_mut(&pid) else { return Ok(None) };
        let presence = known.presence(wants_stat);
        known.gone_since_ns = if presence.is_gone { known.gone_since_ns.or(Some(now_ns)) } else { None };
        if known.gone_since_ns.is_some_and(|gone_ns| since_ns.saturating_sub(gone_ns) >= GRACE_NS) {
            let target = known.target;
            log::debug!("pid {pid}: gone, and no record said so");
            self.lives.unheard += 1;
            self.last_sums(pid, target, tell)?;
            tell(News::Gone(target));
            self.forget(pid)?;
            self.drop_target(pid, target)?;
        }
        Ok(Some(presence).filter(|presence| !presence.is_gone))
    }

    /// Lets go of all that is held of a process that has ended.
    pub(super) fn forget(&mut self, pid: u32) -> Result<(), FollowError> {
        self.kernel.forget_faults(pid);
        self.known.remove(&pid);
        self.unwatch(pid);
        self.kernel.withdraw_words(pid)?;
        self.watch_fatal(pid, false);
        self.dead_since_sweep = true;
        self.named.remove(&pid);
        Ok(())
    }
}
