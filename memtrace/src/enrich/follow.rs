//! Keeps the kernel's target set and what is known of each target in step with the processes: a thread of its own, off
//! the event path. It is told of forks, execs and exits, and of the samplers' clock; it tells of descriptions and samples.
mod end;
mod fatal;
mod looks;
mod settings;
mod sums;
mod unheard;

use super::describe::{self, Described};
use super::lives::Lives;
use super::news::{FollowError, News, tell_refusal};
use super::select::Selector;
use super::unseen::Unseen;
use super::watch::Watcher;
use super::whereabouts::{TellWhere, Wheres};
use crate::decode::Decoder;
use crate::event::{LastWords, TargetId, TaskEvent, TaskWhat, Walk};
use crate::goruntime::{Finder, sample_of_words};
use crate::host::mounts::CgroupFacts;
use crate::kernel::Kernel;
use crate::procfs::clock;
use crate::procfs::kept::Kept;
use crate::procfs::process::Status;
use memtrace_common::target::flags;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use sums::Strays;

/// Chunks of the dead are swept at most this often.
const SWEEP_NS: u64 = 1_000_000_000;
/// Afterwards a process that is still not Go's, or cannot be read, stays so.
const LOOKS_UNTIL_TICK: u32 = 1 << 8;

struct Known {
    target: TargetId,
    described: Described,
    kept: Kept,
    uses_free: bool,
    unseen: Unseen,
    sampled: bool,
    /// Its RSS was divided once.
    divided: bool,
    ticks: u32,
    /// See [`Known::presence`].
    is_proven: bool,
    /// Since when it has not been there.
    gone_since_ns: Option<u64>,
}

impl Known {
    fn new(pid: u32, target: TargetId, described: Described) -> Self {
        Self {
            target,
            described,
            kept: Kept::new(pid),
            uses_free: false,
            unseen: Unseen::default(),
            sampled: false,
            divided: false,
            ticks: 0,
            is_proven: false,
            gone_since_ns: None,
        }
    }
}

pub struct Follower {
    kernel: Kernel,
    finder: Finder,
    selector: Selector,
    decoder: Decoder,
    known: HashMap<u32, Known>,
    /// Named targets still alive; the run ends when the last is gone.
    named: HashSet<u32>,
    swept_ns: u64,
    dead_since_sweep: bool,
    strays: Strays,
    tracks_faults: bool,
    window_closed: bool,
    /// How many more processes have their RSS divided: that walks all of their pages.
    looks_left: usize,
    lives: Lives,
    /// Targets that this user may not look into.
    closed: u64,
    /// Go processes whose fatal errors are not heard, and why the first is not.
    deaf: (u64, Option<String>),
    /// Feeds the black box, where there is one.
    watcher: Option<Watcher>,
    wheres: Wheres,
}

impl Follower {
    /// `looks`: of how many processes the whole RSS is divided, at their start and at the end.
    pub fn new(kernel: Kernel, selector: Selector, decoder: Decoder, facts: CgroupFacts, looks: usize) -> Self {
        let tracks_faults = kernel.fault_hook() != crate::host::plan::FaultHook::None;
        Self {
            kernel,
            finder: Finder::default(),
            selector,
            decoder,
            known: HashMap::new(),
            named: HashSet::new(),
            swept_ns: 0,
            dead_since_sweep: false,
            strays: Strays::default(),
            tracks_faults,
            window_closed: false,
            looks_left: looks,
            lives: Lives::default(),
            closed: 0,
            deaf: (0, None),
            watcher: None,
            wheres: Wheres::new(facts),
        }
    }

    /// Tells from now on in which cgroups the targets are.
    #[must_use]
    pub fn telling_where(self, tell: Option<TellWhere>) -> Self {
        Self { wheres: self.wheres.telling(tell), ..self }
    }

    /// Points and close looks of every target from now on.
    #[must_use]
    pub fn watching(self, watcher: Option<Watcher>) -> Self {
        Self { watcher, ..self }
    }

    /// Observes a process named by the user, with its children.
    pub fn name(&mut self, pid: u32, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        if Status::read(pid).map_or(true, |s| s.rss_bytes().is_none()) {
            return Err(FollowError::Gone(pid));
        }
        self.named.insert(pid);
        self.add(pid, flags::FOLLOW, tell)
    }

    /// Observes a held command from its exec on.
    pub fn name_held(
        &mut self,
        pid: u32,
        command: &[OsString],
        tell: &mut impl FnMut(News),
    ) -> Result<(), FollowError> {
        self.named.insert(pid);
        self.add(pid, flags::FOLLOW | flags::FROM_EXEC, tell)?;
        self.watch_fatal_early(pid, command);
        Ok(())
    }

    /// Observes everything that is meant and runs now; returns how many.
    pub fn scan(&mut self, tell: &mut impl FnMut(News)) -> Result<usize, FollowError> {
        let own = std::process::id();
        for pid in self.selector.scan() {
            if pid != own && !self.known.contains_key(&pid) {
                self.add(pid, flags::FOLLOW, tell)?;
            }
        }
        Ok(self.known.len())
    }

    /// Judges what execed while the probes were being proven: those records went to the self-test.
    pub fn judge_early(&mut self, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        for pid in self.kernel.target_tgids()? {
            let strange = !self.known.contains_key(&pid) && !self.selector.wants(pid);
            if strange && let Some(target) = self.kernel.target(pid)? {
                self.drop_target(pid, target.id)?;
                tell(News::NotMeant(target.id));
            }
        }
        Ok(())
    }

    fn add(&mut self, pid: u32, target_flags: u32, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let mut described = describe::describe(&mut self.finder, pid);
        described.enter_words(&mut self.kernel, pid)?;
        let target = self.kernel.add_target(pid, described.counters(), target_flags)?;
        if !described.is_still(pid) {
            // Of an exec before the entry there is no record: from here on there is one of each.
            described = describe::describe(&mut self.finder, pid);
            described.enter(&mut self.kernel, pid, target, target_flags)?;
        }
        if let Err(why) = self.kernel.track_faults(pid, false) {
            tell(News::Note(format!("pid {pid}: re-faults are not seen: {why}")));
        }
        self.watch_fatal(pid, described.is_go());
        // A trampoline is nobody: the command is described, and looked at, from its exec on.
        if target_flags & flags::FROM_EXEC != 0 {
            self.keep(pid, Known::new(pid, target, Described::default()));
            return Ok(());
        }
        self.admit(pid, target, described, tell);
        self.sample_one(pid, clock::monotonic_ns(), None, tell);
        self.divide_first(pid, tell);
        self.watcher.iter_mut().for_each(|watcher| watcher.meet(pid, target, &mut self.finder, tell));
        Ok(())
    }

    fn admit(&mut self, pid: u32, target: TargetId, described: Described, tell: &mut impl FnMut(News)) {
        tell(News::Process(described.info(target, pid)));
        if described.is_settled {
            tell_refusal(pid, &described, tell);
        }
        self.closed += u64::from(described.is_closed);
        self.wheres.look(pid, target, &described, tell);
        self.keep(pid, Known::new(pid, target, described));
    }

    fn keep(&mut self, pid: u32, known: Known) {
        let target = known.target;
        let before = self.known.insert(pid, known);
        self.lives.meet(target, before.map(|before| before.target));
    }

    /// Looks again at one whose runtime was not there yet: at its 1st, 2nd, 4th, … tick.
    fn settle(&mut self, pid: u32, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let Some(known) = self.known.get_mut(&pid).filter(|k| !k.described.is_settled && k.described.comm.is_some())
        else {
            return Ok(());
        };
        known.ticks += 1;
        if known.ticks > LOOKS_UNTIL_TICK || !known.ticks.is_power_of_two() {
            return Ok(());
        }
        let target = known.target;
        let described = describe::describe(&mut self.finder, pid);
        // Still not Go's, or gone: what is known of it stays.
        if described.exe.is_none() || (described.go.is_none() && described.refused.is_none()) {
            return Ok(());
        }
        let before = std::mem::replace(&mut known.described, described.clone());
        tell(News::Process(described.info(target, pid)));
        if described.is_settled {
            tell_refusal(pid, &described, tell);
        }
        if described.is_go() && !before.is_go() {
            self.watch_fatal(pid, true);
        }
        if (described.counters(), &described.words) != (before.counters(), &before.words)
            && let Some(current) = self.kernel.target(pid)?.filter(|current| current.id == target)
        {
            described.enter(&mut self.kernel, pid, target, current.flags)?;
        }
        Ok(())
    }

    /// A fork, exec, exit or kill of a target, in the order they came. True: the last named target is gone.
    pub fn task(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<bool, FollowError> {
        let pid = event.meta.tgid;
        self.followed_by(event, tell)?;
        match event.what {
            TaskWhat::Fork { parent_tgid } => {
                // A child of one that is meant is meant; of one still to be judged it is judged itself.
                if self.known.contains_key(&parent_tgid) || self.judged(event, tell)? {
                    let described = Described::named(event);
                    let target = event.meta.target;
                    self.keep(pid, Known::new(pid, target, described));
                }
            }
            TaskWhat::Exec { .. } => self.exec(event, tell)?,
            TaskWhat::Exit { .. } => {
                // A reused pid may have come before this exit was read: only this incarnation goes.
                self.last_sums(pid, event.meta.target, tell)?;
                if self.known.get(&pid).is_some_and(|k| k.target == event.meta.target) {
                    let was_named = self.named.contains(&pid);
                    self.forget(pid)?;
                    self.lives.ended += 1;
                    return Ok(was_named && self.named.is_empty());
                }
                self.kernel.forget_faults(pid);
            }
            TaskWhat::Kill { .. } => {}
        }
        Ok(false)
    }

    /// Whether the process is meant; one that is not leaves the set.
    fn judged(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<bool, FollowError> {
        let (pid, target) = (event.meta.tgid, event.meta.target);
        // One that is followed stays so, whatever it becomes, where no rule is against it.
        let is_known = self.known.get(&pid).is_some_and(|known| known.target == target);
        let verdict = if is_known { Some(self.selector.admits(pid)) } else { self.selector.judge(event) };
        self.lives.unidentified += u64::from(verdict.is_none());
        if verdict == Some(true) {
            return Ok(true);
        }
        if is_known {
            self.forget(pid)?;
            self.lives.not_meant += 1;
        } else if self.known.remove(&pid).is_some() {
            // Another one that had its pid: it has ended.
            self.lives.ended += 1;
        }
        self.drop_target(pid, target)?;
        tell(News::NotMeant(target));
        Ok(false)
    }

    /// Out of the kernel's set; not another process that has its pid now.
    fn drop_target(&mut self, pid: u32, target: TargetId) -> Result<(), FollowError> {
        if self.kernel.target(pid)?.is_some_and(|now| now.id == target) {
            self.kernel.remove_target(pid)?;
        }
        Ok(self.kernel.end_sums(target)?)
    }

    fn exec(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let (pid, target) = (event.meta.tgid, event.meta.target);
        self.unwatch(pid);
        if !self.judged(event, tell)? {
            return Ok(());
        }
        let current = self.kernel.target(pid)?.filter(|t| t.id == target);
        let Some(current) = current else {
            // Gone already: its name is all there is, and its exit is on the way.
            let described = Described::named(event);
            self.admit(pid, target, described, tell);
            return Ok(());
        };
        let described = describe::describe(&mut self.finder, pid);
        let flags_now = current.flags & !flags::PROVISIONAL;
        described.enter(&mut self.kernel, pid, target, flags_now)?;
        if let Err(why) = self.kernel.track_faults(pid, true) {
            log::debug!("pid {pid}: {why}");
        }
        self.watch_fatal(pid, described.is_go());
        self.admit(pid, target, described, tell);
        Ok(())
    }

    /// What a process that is being killed says of its runtime; it is still known until its exit has come.
    pub fn words(&mut self, words: &LastWords, tell: &mut impl FnMut(News)) {
        let known = self.known.get(&words.meta.tgid).filter(|known| known.target == words.meta.target);
        let Some(located) = known.and_then(|known| known.described.located.as_ref()) else { return };
        match sample_of_words(located, words) {
            Ok(sample) => tell(News::Words(words.meta.target, words.meta.t_ns, Box::new(sample))),
            Err(why) => log::debug!("pid {}: its last words: {why}", words.meta.tgid),
        }
    }

    fn unwatch(&mut self, pid: u32) {
        self.watcher.iter_mut().for_each(|watcher| watcher.forget(pid));
        self.wheres.forget(pid);
    }

    /// A part of what the kernel walked of it.
    pub fn walk(&mut self, walk: &Walk, tell: &mut impl FnMut(News)) {
        self.watcher.iter_mut().for_each(|watcher| watcher.walk(walk, tell));
    }

    /// The samplers' tick: every target once. Processes may move into a cgroup without an exec, so these are looked for.
    /// What was asked of the follower before `since_ns` has been told. True: the last named target is gone, unheard.
    pub fn tick(&mut self, since_ns: u64, tell: &mut impl FnMut(News)) -> Result<bool, FollowError> {
        let had_named = !self.named.is_empty();
        if self.selector.needs_rescans() {
            self.scan(tell)?;
        }
        let now = clock::monotonic_ns();
        // A black box ticks ten times a second, and wants the rest no more often than others do.
        let is_due = self.watcher.as_ref().is_none_or(|watcher| watcher.is_round(now));
        let targets = self.known.len();
        let mut round = self.watcher.as_mut().map(|watcher| watcher.begin(now, is_due, targets, tell));
        let is_for_all = round.as_ref().is_none_or(|round| round.is_for_all);
        let pids: Vec<u32> = self.known.keys().copied().filter(|_| is_for_all).collect();
        for pid in pids {
            let mut seen = None;
            if is_due {
                self.settle(pid, tell)?;
                seen = self.see(pid, now, since_ns, tell)?;
                if seen.is_none() {
                    continue;
                }
            }
            let Some(target) = self.known.get(&pid).map(|known| known.target) else { continue };
            if let (Some(watcher), Some(round)) = (&mut self.watcher, &mut round) {
                let status = seen.as_ref().and_then(|seen| seen.status.clone());
                if watcher.visit(round, (pid, target), status, &mut self.finder) && !is_due {
                    self.tell_sums(pid, target, tell);
                }
            }
            if is_due && let Some(known) = self.known.get(&pid) {
                self.wheres.look(pid, known.target, &known.described, tell);
                self.sample_one(pid, now, seen.as_ref(), tell);
                self.divide_first(pid, tell);
            }
        }
        if let (Some(watcher), Some(round)) = (&mut self.watcher, round) {
            watcher.end(round, &mut self.finder, tell);
            tell(News::Beat { since_ns, t_ns: now });
        }
        if self.dead_since_sweep && now.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.kernel.sweep_chunks()?;
            self.swept_ns = now;
            self.dead_since_sweep = false;
        }
        self.sweep_sums(now)?;
        Ok(had_named && self.named.is_empty())
    }
}
