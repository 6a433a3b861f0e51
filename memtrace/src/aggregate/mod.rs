//! Per-process state from events: pure, bounded, knows no clock. `apply` takes an event, `tick` and `finish` give an
//! immutable [`Snapshot`].
//!
//! Memory: a process costs about 2.5 KiB plus, for each kind of call it uses, 0.4 KiB up to 32 calls and at most
//! 15.5 KiB of latency histogram beyond (twice: interval and window). A busy Go process (dontneed, hugepage, munmap)
//! stays under 50 KiB, so the default of 4096 processes is bounded at about 200 MiB and in practice far below; the
//! interval's share is given back at every tick. One whose calls the kernel adds up costs 2 KiB for them, however many.
mod creators;
mod forgotten;
mod latency;
mod ledger;
mod level;
mod log2;
mod pressure;
mod process;
mod refault;
mod span;
#[cfg(test)]
mod tests;
mod view;
pub mod waterfall;

pub use creators::Creators;
pub use view::Figures;

use crate::account::Account;
use crate::event::{Event, Refaults, TargetId};
use crate::snapshot::{GoBuild, Snapshot, SnapshotKind};
use forgotten::Forgotten;
use pressure::Pressures;
use process::Process;
use std::collections::HashMap;
use std::path::PathBuf;

/// Where the window begins and how much is remembered.
#[derive(Clone, Copy, Debug)]
pub struct AggregateConfig {
    /// CLOCK_MONOTONIC at which the window begins.
    pub start_ns: u64,
    /// More than this many processes at once: the exited ones that were quiet longest share one entry.
    pub max_processes: usize,
}

impl AggregateConfig {
    /// The default bounds.
    pub fn starting_at(start_ns: u64) -> Self {
        Self { start_ns, max_processes: 4096 }
    }

    /// With room for so many at least.
    #[must_use]
    pub fn holding(self, processes: usize) -> Self {
        Self { max_processes: self.max_processes.max(processes), ..self }
    }
}

/// Who a target is. Absent fields of a later registration leave the earlier ones, except `go`: an exec may end it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    pub target: TargetId,
    pub pid: u32,
    /// CLOCK_BOOTTIME.
    pub start_time_ns: Option<u64>,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Version of its main module, else the commit it was built from.
    pub release: Option<String>,
    pub go: Option<GoBuild>,
}

/// The incarnation; a process outside the target set (target 0) is known by its tgid alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    target: TargetId,
    tgid: u32,
}

impl Key {
    fn of(target: TargetId, tgid: u32) -> Self {
        Self { target, tgid: if target == 0 { tgid } else { 0 } }
    }
}

/// The one state of the processing thread.
#[derive(Debug)]
pub struct Aggregator {
    config: AggregateConfig,
    processes: HashMap<Key, Process>,
    forgotten: Forgotten,
    /// All folded processes together.
    others: Process,
    /// Events of processes that found no room and nobody to fold.
    overflowed_events: u64,
    pressures: Pressures,
    interval_start_ns: u64,
}

impl Aggregator {
    /// From now on there is room for so many at least.
    pub fn hold(&mut self, processes: usize) {
        self.config = self.config.holding(processes);
    }

    /// Empty, with the window beginning at `config.start_ns`.
    pub fn new(config: AggregateConfig) -> Self {
        let mut others = Process::new(0, None);
        others.comm = Some("(others)".to_owned());
        let interval_start_ns = config.start_ns;
        Self {
            config,
            processes: HashMap::new(),
            forgotten: Forgotten::default(),
            others,
            overflowed_events: 0,
            pressures: Pressures::default(),
            interval_start_ns,
        }
    }

    /// Says who a target is, before or after its first event; again after an exec.
    pub fn register(&mut self, info: ProcessInfo) {
        let key = Key::of(info.target, info.pid);
        if let Some(process) = self.entry(key, info.pid) {
            process.describe(info);
        }
    }

    /// In which memory cgroup it is.
    pub fn is_in(&mut self, target: TargetId, cgroup: Option<PathBuf>) {
        if let Some(process) = self.processes.get_mut(&Key::of(target, 0)) {
            process.cgroup = cgroup;
        }
    }

    /// Where all of its RSS is: the first look, and the last one.
    pub fn divided(&mut self, target: TargetId, fall: waterfall::Waterfall) {
        if let Some(process) = self.processes.get_mut(&Key::of(target, 0)) {
            let [start, end] = &mut process.waterfalls;
            if start.is_none() { *start = Some(Box::new(fall)) } else { *end = Some(Box::new(fall)) }
        }
    }

    /// It has ended, and nobody knows how.
    pub fn gone(&mut self, target: TargetId) {
        self.processes.get_mut(&Key::of(target, 0)).into_iter().for_each(|process| process.is_gone = true);
    }

    /// Drops a target that turned out not to be wanted (a provisional one), with all it did.
    pub fn forget(&mut self, target: TargetId) {
        self.forgotten.add(target);
        self.processes.remove(&Key::of(target, 0));
    }

    /// Counts one event; of an unknown process too, so that nothing is lost.
    pub fn apply(&mut self, event: &Event) {
        let (key, pid, t_ns) = match (event.meta(), event) {
            (Some(meta), _) if self.forgotten.contains(meta.target) => return,
            (Some(meta), _) => (Key::of(meta.target, meta.tgid), Some(meta.tgid), meta.t_ns),
            (None, Event::Sample(sample)) => (Key::of(sample.target, 0), None, sample.t_ns),
            (None, _) => return,
        };
        if let Event::Pressure(event) = event {
            self.pressures.told(event);
        }
        // a sample is no reason to know a process: it may have been dropped since it was taken
        let process = match pid {
            Some(pid) => self.entry(key, pid),
            None => match self.processes.get_mut(&key) {
                Some(process) => Some(process),
                None => return,
            },
        };
        match process {
            Some(process) => {
                process.last_active_ns = process.last_active_ns.max(t_ns);
                process.apply(event);
                if let (Event::Reclaim(event), Some(cgroup)) = (event, process.cgroup.clone()) {
                    self.pressures.reclaimed(&cgroup, event);
                }
            }
            None => {
                self.overflowed_events += 1;
                match event {
                    Event::Task(_) | Event::Sample(_) => {}
                    event => self.others.apply(&sums_only(event)),
                }
            }
        }
    }

    /// The interval since the last tick.
    pub fn tick(&mut self, t_ns: u64, account: Account) -> Snapshot {
        let snapshot = self.snapshot(SnapshotKind::Interval, t_ns, account);
        self.interval_start_ns = t_ns;
        self.processes.values_mut().for_each(Process::tick);
        self.others.tick();
        self.pressures.tick();
        snapshot
    }

    /// The whole window. The aggregator stays usable.
    pub fn finish(&mut self, t_ns: u64, account: Account) -> Snapshot {
        self.snapshot(SnapshotKind::Summary, t_ns, account)
    }

    /// One process since the start of the window; `None`: not known, or no longer.
    pub fn process(&self, target: TargetId) -> Option<crate::snapshot::ProcessSnapshot> {
        self.processes.get(&Key::of(target, 0)).map(|process| view::view(process, SnapshotKind::Summary))
    }

    /// Those that have not ended, in the order that they began in.
    pub fn living(&self) -> Vec<crate::snapshot::ProcessSnapshot> {
        let mut living: Vec<_> = self.processes.iter().filter(|(_, process)| !process.is_over()).collect();
        living.sort_by_key(order);
        living.into_iter().map(|(_, process)| view::view(process, SnapshotKind::Summary)).collect()
    }

    /// Some of it, cheaply.
    pub fn figures(&self, target: TargetId) -> Option<Figures> {
        self.processes.get(&Key::of(target, 0)).map(view::figures)
    }

    /// As the kernel counts them, since the process is watched. `None`: they are not tracked.
    pub fn refaults(&self, target: TargetId) -> Option<&Refaults> {
        self.processes.get(&Key::of(target, 0))?.refaults.now.as_deref()
    }

    /// Who has this pid now: the end of one that had it before may not have been seen.
    pub fn living_of(&self, pid: u32) -> Option<TargetId> {
        let of_pid = self.processes.iter().filter(|(_, process)| !process.is_over() && process.pid == Some(pid));
        of_pid.max_by_key(order).map(|(_, process)| process.target)
    }

    pub fn lives(&self, target: TargetId) -> bool {
        self.processes.get(&Key::of(target, 0)).is_some_and(|process| !process.is_over())
    }

    pub fn knows(&self, target: TargetId) -> bool {
        self.processes.contains_key(&Key::of(target, 0))
    }

    /// How many processes have an entry of their own.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    fn snapshot(&self, kind: SnapshotKind, t_ns: u64, account: Account) -> Snapshot {
        let wanted = |p: &Process| kind == SnapshotKind::Summary || p.interval.active || !p.is_over();
        let mut ordered: Vec<_> = self.processes.iter().filter(|(_, p)| wanted(p)).collect();
        ordered.sort_by_key(order);
        let has_others = self.others.folded > 0 || self.overflowed_events > 0;
        let others =
            [&self.others].into_iter().filter(|p| has_others && (kind == SnapshotKind::Summary || p.interval.active));
        let processes = ordered.into_iter().map(|(_, p)| p).chain(others).map(|p| view::view(p, kind)).collect();
        let mut notes = Vec::new();
        if self.others.folded > 0 {
            notes.push(format!(
                "{} exited processes are shown together as (others): more than {} were seen",
                self.others.folded, self.config.max_processes
            ));
        }
        if self.overflowed_events > 0 {
            notes.push(format!(
                "{} events of processes beyond the first {} are counted under (others)",
                self.overflowed_events, self.config.max_processes
            ));
        }
        let since_ns = match kind {
            SnapshotKind::Summary => self.config.start_ns,
            SnapshotKind::Interval => self.interval_start_ns,
        };
        let pressure = self.pressures.view(kind);
        Snapshot { kind, t_ns, since_ns, processes, pressure, account, notes }
    }

    /// `None`: there is no room, and nobody may be folded.
    fn entry(&mut self, key: Key, pid: u32) -> Option<&mut Process> {
        if !self.processes.contains_key(&key) {
            if self.processes.len() >= self.config.max_processes.max(1) {
                self.fold();
            }
            if self.processes.len() >= self.config.max_processes.max(1) {
                return None;
            }
            self.processes.insert(key, Process::new(key.target, Some(pid)));
        }
        self.processes.get_mut(&key)
    }

    /// Folds the exited that were quiet longest, a sixteenth of the room at once: a scan pays for many.
    fn fold(&mut self) {
        let mut over: Vec<(u64, Key)> =
            self.processes.iter().filter(|(_, p)| p.is_over()).map(|(key, p)| (p.last_active_ns, *key)).collect();
        over.sort_unstable();
        for (_, key) in over.into_iter().take((self.config.max_processes / 16).max(1)) {
            if let Some(process) = self.processes.remove(&key) {
                self.others.absorb(&process);
            }
        }
    }
}

/// By when it began; what is not known yet of one is so of the newest. Ids are in no order.
fn order((key, process): &(&Key, &Process)) -> (u64, Key) {
    (process.start_time_ns.unwrap_or(u64::MAX), **key)
}

/// The event without what cannot be added up over processes.
fn sums_only(event: &Event) -> Event {
    let mut event = event.clone();
    if let Event::Advise(crate::event::AdviseEvent { call, .. }) | Event::Map(crate::event::MapEvent { call, .. }) =
        &mut event
    {
        (call.rss_before_bytes, call.rss_after_bytes, call.go) = (None, None, None);
    }
    event
}
