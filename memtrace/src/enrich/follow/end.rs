//! The end of a run, and what is to be said of all of it.
use super::Follower;
use crate::account::ProgramAccount;
use crate::dossier::Present;
use crate::enrich::news::{FollowError, News, tell_refusal};
use crate::procfs::clock;

impl Follower {
    /// Ends the window and all attachments; in between, a last look at every target. Returns when the window ended.
    pub fn detach(&mut self, tell: &mut impl FnMut(News)) -> Result<u64, FollowError> {
        let pids: Vec<u32> = self.known.keys().copied().collect();
        for pid in &pids {
            self.fault_figures(*pid, None);
        }
        self.window_closed = true;
        self.kernel.close_window()?;
        self.wheres.stop();
        let now = clock::monotonic_ns();
        for pid in pids {
            // Lazy pages of all: who freed some since the ring was last read is not known yet.
            self.uses_free(pid);
            self.sample_one(pid, now, None, tell);
            self.divide_last(pid, tell);
        }
        for (pid, known) in self.known.iter().filter(|(_, known)| !known.described.is_settled) {
            tell_refusal(*pid, &known.described, tell);
        }
        self.kernel.detach();
        Ok(now)
    }

    /// Says what the reader must know; after [`Follower::detach`] and the last order.
    pub fn stop(&mut self, tell: &mut impl FnMut(News)) {
        // No call is half-way any more, and who came last is known.
        let last: Vec<_> = self.known.iter().map(|(pid, known)| (*pid, known.target)).collect();
        last.into_iter().for_each(|(pid, target)| self.tell_sums(pid, target, tell));
        self.tell_deaf(tell);
        self.watcher.iter_mut().for_each(|watcher| watcher.tell_log(tell));
        let counted = [
            (self.lives.unidentified, "ended before it could be told whether they were meant: left out"),
            (
                self.selector.not_permitted(),
                "may not be looked at, which takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: left out",
            ),
            (
                self.closed,
                "may not be looked into, which takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: no Go heap of theirs",
            ),
            (self.lives.unheard, "ended and no record said so: how they ended is not known"),
            (self.kernel.words_full, "leave no last words when they are killed: there was no room for what is copied"),
            (self.kernel.targets_full().unwrap_or(0), "were not observed: the target set was full (--max-targets)"),
        ];
        for (n, what) in counted.into_iter().filter(|(n, _)| *n > 0) {
            tell(News::Note(format!("{n} processes {what}")));
        }
        if let Some(n @ 1..) = self.kernel.skipped_runs() {
            tell(News::Note(format!("the kernel skipped {n} runs of probes: up to that many calls are missing")));
        }
    }

    /// See [`crate::account::Account`].
    pub fn skipped_runs(&self) -> Option<u64> {
        self.kernel.skipped_runs()
    }

    /// What of an answer is known here only.
    pub fn complete(&self, present: &mut Present) -> Result<(), FollowError> {
        present.account.programs = self.counters()?;
        present.knows_stalls = self.kernel.tells_stalls();
        present.lives = self.lives;
        let Some(watcher) = &self.watcher else { return Ok(()) };
        present.sampling = watcher.sampling();
        for living in &mut present.processes {
            let pid = living.process.pid;
            living.go = pid.and_then(|pid| watcher.go(pid, living.process.target)).copied().map(Box::new);
        }
        Ok(())
    }

    /// Counters of the programs; exact after [`Follower::stop`].
    pub fn counters(&self) -> Result<Vec<ProgramAccount>, FollowError> {
        Ok(self.kernel.counters()?)
    }
}
