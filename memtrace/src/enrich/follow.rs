//! Keeps the kernel's target set and what is known of each target in step with the processes: a thread of its own, off
//! the event path. It is told of forks, execs and exits, and of the samplers' clock; it tells of descriptions and samples.
use super::describe::{self, Described};
use super::select::Selector;
use super::waterfall::Look;
use crate::account::ProgramAccount;
use crate::aggregate::ProcessInfo;
use crate::aggregate::waterfall::Waterfall;
use crate::decode::{self, Decoder};
use crate::event::{ProcessSample, TargetId, TaskEvent, TaskWhat};
use crate::goruntime::Finder;
use crate::kernel::{Kernel, KernelError};
use crate::procfs::{clock, process::Status, smaps::Rollup};
use memtrace_common::target::flags;
use std::collections::{HashMap, HashSet};

/// Chunks of the dead are swept at most this often.
const SWEEP_NS: u64 = 1_000_000_000;
/// Afterwards a process that is still not Go's, or cannot be read, stays so.
const LOOKS_UNTIL_TICK: u32 = 1 << 8;

/// What the follower tells the processing thread.
#[derive(Clone, Debug)]
pub enum News {
    Process(ProcessInfo),
    /// A provisional target that is not meant after all.
    NotMeant(TargetId),
    Sample(Box<ProcessSample>),
    /// All of its RSS, by the first look at it and by the last.
    Waterfall(TargetId, Box<Waterfall>),
    /// One line for the reader.
    Note(String),
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("no process {0}")]
    Gone(u32),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

struct Known {
    target: TargetId,
    described: Described,
    uses_free: bool,
    sampled: bool,
    /// Its RSS was divided once.
    divided: bool,
    ticks: u32,
}

impl Known {
    fn new(target: TargetId, described: Described) -> Self {
        Self { target, described, uses_free: false, sampled: false, divided: false, ticks: 0 }
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
    tracks_faults: bool,
    /// How many more processes have their RSS divided: that walks all of their pages.
    looks_left: usize,
    /// Processes that ended before it could be told whether they were meant.
    unidentified: u64,
}

impl Follower {
    /// `looks`: of how many processes the whole RSS is divided, at their start and at the end.
    pub fn new(kernel: Kernel, selector: Selector, decoder: Decoder, looks: usize) -> Self {
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
            tracks_faults,
            looks_left: looks,
            unidentified: 0,
        }
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
    pub fn name_held(&mut self, pid: u32, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        self.named.insert(pid);
        self.add(pid, flags::FOLLOW | flags::FROM_EXEC, tell)
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
                self.kernel.remove_target(pid)?;
                tell(News::NotMeant(target.id));
            }
        }
        Ok(())
    }

    fn add(&mut self, pid: u32, target_flags: u32, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let mut described = describe::describe(&mut self.finder, pid);
        let target = self.kernel.add_target(pid, described.counters, target_flags)?;
        if !described.is_still(pid) {
            // Of an exec before the entry there is no record: from here on there is one of each.
            described = describe::describe(&mut self.finder, pid);
            self.enter_counters(pid, target, &described, target_flags)?;
        }
        if let Err(why) = self.kernel.track_faults(pid, false) {
            tell(News::Note(format!("pid {pid}: re-faults are not seen: {why}")));
        }
        // A trampoline is nobody: the command is described, and looked at, from its exec on.
        if target_flags & flags::FROM_EXEC != 0 {
            self.known.insert(pid, Known::new(target, Described::default()));
            return Ok(());
        }
        self.admit(pid, target, described, tell);
        self.sample_one(pid, clock::monotonic_ns(), tell);
        self.divide_first(pid, tell);
        Ok(())
    }

    /// Says in the target set where a target's Go counters are. An exec between the description and this has cleared the
    /// address there too early: what was entered is of the program before, and is withdrawn. The record of the exec, still
    /// to come, brings the right one.
    fn enter_counters(&mut self, pid: u32, target: TargetId, of: &Described, flags: u32) -> Result<(), FollowError> {
        self.kernel.set_go_counters(pid, target, of.counters, flags)?;
        if of.counters != 0 && !of.is_still(pid) {
            self.kernel.set_go_counters(pid, target, 0, flags)?;
        }
        Ok(())
    }

    fn admit(&mut self, pid: u32, target: TargetId, described: Described, tell: &mut impl FnMut(News)) {
        tell(News::Process(described.info(target, pid)));
        if described.is_settled {
            tell_refusal(pid, &described, tell);
        }
        self.known.insert(pid, Known::new(target, described));
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
        let (target, before) = (known.target, known.described.counters);
        let described = describe::describe(&mut self.finder, pid);
        // Still not Go's, or gone: what is known of it stays.
        if described.exe.is_none() || (described.go.is_none() && described.refused.is_none()) {
            return Ok(());
        }
        known.described = described.clone();
        tell(News::Process(described.info(target, pid)));
        if described.is_settled {
            tell_refusal(pid, &described, tell);
        }
        if described.counters != before
            && let Some(current) = self.kernel.target(pid)?.filter(|current| current.id == target)
        {
            self.enter_counters(pid, target, &described, current.flags)?;
        }
        Ok(())
    }

    /// A fork, exec, exit or kill of a target, in the order they came. True: the last named target is gone.
    pub fn task(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<bool, FollowError> {
        let pid = event.meta.tgid;
        match event.what {
            TaskWhat::Fork { parent_tgid } => {
                // A child of one that is meant is meant; of one still to be judged it is judged itself.
                if self.known.contains_key(&parent_tgid) || self.judged(event, tell)? {
                    let described = Described::named(event);
                    let target = event.meta.target;
                    self.known.insert(pid, Known::new(target, described));
                }
            }
            TaskWhat::Exec { .. } => self.exec(event, tell)?,
            TaskWhat::Exit { .. } => {
                self.kernel.forget_faults(pid);
                // A reused pid may have come before this exit was read: only this incarnation goes.
                if self.known.get(&pid).is_some_and(|k| k.target == event.meta.target) {
                    self.known.remove(&pid);
                    self.dead_since_sweep = true;
                    return Ok(self.named.remove(&pid) && self.named.is_empty());
                }
            }
            TaskWhat::Kill { .. } => {}
        }
        Ok(false)
    }

    /// Whether the process is meant; one that is not leaves the set.
    fn judged(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<bool, FollowError> {
        let (pid, target) = (event.meta.tgid, event.meta.target);
        let verdict = self.selector.judge(event);
        self.unidentified += u64::from(verdict.is_none());
        if verdict == Some(true) {
            return Ok(true);
        }
        if self.kernel.target(pid)?.is_some_and(|t| t.id == target) {
            self.kernel.remove_target(pid)?;
        }
        self.known.remove(&pid);
        tell(News::NotMeant(target));
        Ok(false)
    }

    fn exec(&mut self, event: &TaskEvent, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        let (pid, target) = (event.meta.tgid, event.meta.target);
        let known = self.known.get(&pid).is_some_and(|k| k.target == target);
        if !known && !self.judged(event, tell)? {
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
        self.enter_counters(pid, target, &described, flags_now)?;
        if let Err(why) = self.kernel.track_faults(pid, true) {
            log::debug!("pid {pid}: {why}");
        }
        self.admit(pid, target, described, tell);
        Ok(())
    }

    /// The process made lazy pages: its LazyFree is worth the walk from now on.
    pub fn uses_free(&mut self, pid: u32) {
        if let Some(known) = self.known.get_mut(&pid) {
            known.uses_free = true;
        }
    }

    /// The samplers' tick: every target once. Processes may move into a cgroup without an exec, so these are looked for.
    pub fn tick(&mut self, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        if self.selector.needs_rescans() {
            self.scan(tell)?;
        }
        let now = clock::monotonic_ns();
        let pids: Vec<u32> = self.known.keys().copied().collect();
        for pid in pids {
            self.settle(pid, tell)?;
            self.sample_one(pid, now, tell);
            self.divide_first(pid, tell);
        }
        if self.dead_since_sweep && now.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.kernel.sweep_chunks()?;
            self.swept_ns = now;
            self.dead_since_sweep = false;
        }
        Ok(())
    }

    fn sample_one(&mut self, pid: u32, t_ns: u64, tell: &mut impl FnMut(News)) {
        let Some(known) = self.known.get_mut(&pid) else { return };
        let status = Status::read(pid).ok();
        let lazy_due = known.uses_free || !known.sampled;
        known.sampled = true;
        let figures = if self.tracks_faults { self.kernel.fault_figures(pid).ok().flatten() } else { None };
        let figures = figures.filter(|f| f.target == known.target);
        tell(News::Sample(Box::new(ProcessSample {
            target: known.target,
            t_ns,
            rss_bytes: status.as_ref().and_then(Status::rss_bytes),
            rss_peak_bytes: status.as_ref().and_then(|s| s.rss_peak_bytes),
            lazy_bytes: if lazy_due { Rollup::read(pid).ok().map(|r| r.lazy_free_bytes) } else { None },
            go: known.described.heap(pid),
            faults: figures.as_ref().and_then(decode::fault::faults),
            refaults: figures.as_ref().map(|f| self.decoder.refaults(f)),
        })));
    }

    /// The first look at a process that has memory of its own: of a command after its exec.
    fn divide_first(&mut self, pid: u32, tell: &mut impl FnMut(News)) {
        let Some(known) = self.known.get_mut(&pid).filter(|known| !known.divided) else { return };
        if self.looks_left == 0 || known.described.comm.is_none() {
            return;
        }
        self.looks_left -= 1;
        known.divided = true;
        tell_waterfall(pid, known.target, tell);
    }

    fn divide_last(&self, pid: u32, tell: &mut impl FnMut(News)) {
        if let Some(known) = self.known.get(&pid).filter(|known| known.divided) {
            tell_waterfall(pid, known.target, tell);
        }
    }

    /// Ends the window and all attachments; in between, a last look at every target. Returns when the window ended.
    pub fn detach(&mut self, tell: &mut impl FnMut(News)) -> Result<u64, FollowError> {
        self.kernel.close_window()?;
        let now = clock::monotonic_ns();
        let pids: Vec<u32> = self.known.keys().copied().collect();
        for pid in pids {
            // Lazy pages of all: who freed some since the ring was last read is not known yet.
            self.uses_free(pid);
            self.sample_one(pid, now, tell);
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
        if self.unidentified > 0 {
            let n = self.unidentified;
            tell(News::Note(format!("{n} processes ended before it could be told whether they were meant: left out")));
        }
        match self.kernel.skipped_runs() {
            0 => {}
            n => tell(News::Note(format!("the kernel skipped {n} runs of probes: up to that many calls are missing"))),
        }
        match self.kernel.targets_full() {
            Ok(0) | Err(_) => {}
            Ok(n) => {
                tell(News::Note(format!("{n} processes were not observed: the target set was full (--max-targets)")))
            }
        }
    }

    /// Counters of the programs; exact after [`Follower::stop`].
    pub fn counters(&self) -> Result<Vec<ProgramAccount>, FollowError> {
        Ok(self.kernel.counters()?)
    }
}

fn tell_refusal(pid: u32, described: &Described, tell: &mut impl FnMut(News)) {
    if let Some(why) = &described.refused {
        tell(News::Note(format!("pid {pid}: Go heap not read: {why}")));
    }
}

/// A process that is gone, or may not be looked at, has none.
fn tell_waterfall(pid: u32, target: TargetId, tell: &mut impl FnMut(News)) {
    match Look::take(pid) {
        Ok(look) => tell(News::Waterfall(target, Box::new(look.waterfall))),
        Err(why) => log::debug!("{why}"),
    }
}
