//! What was saved of living processes before memtrace itself was killed, and what a new one makes of it. Pure.
use super::blackbox::{BlackBox, Watched};
use super::case::Open;
use super::{Dossier, Trigger};
use crate::cgroup::workload::Workload;
use crate::enrich::Closeup;
use crate::event::TargetId;
use crate::procfs::clock::ClockOffset;
use crate::snapshot::{GoBuild, ProcessSnapshot};
use crate::source::kmsg::KernelLine;
use crate::timeline::{Point, Signal, Timeline, TimelineConfig};
use std::collections::HashMap;

/// The kernel's records date a process to the ns, /proc to the tick.
const TICK_NS: u64 = 10_000_000;
/// Processes that are written down as lost at one start: those that had least room left.
const LOST_MAX: usize = 64;
/// Whoever lives and is still not watched after so long, is not meant this time.
const CLAIM_NS: u64 = 60_000_000_000;
/// Stretches without points of one process.
const GAPS_MAX: usize = 16;
/// They begin at 0 with every memtrace.
const OF_LEDGER: [Signal; 4] = [Signal::Returned, Signal::Refaulted, Signal::Faults, Signal::ReclaimStall];

/// Nobody watched from the first to the second, on CLOCK_MONOTONIC.
pub type Gap = (u64, u64);

/// One process in one saving.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub pid: u32,
    /// CLOCK_BOOTTIME.
    pub start_time_ns: u64,
    pub comm: Option<String>,
    pub exe: Option<String>,
    pub go: Option<GoBuild>,
    pub workload: Option<Workload>,
    pub gaps: Vec<Gap>,
    /// Of its timeline: what is new.
    pub packed: Vec<Vec<u8>>,
    pub first: Option<Closeup>,
    pub last: Option<Closeup>,
}

impl Kept {
    /// Whether that may be the same moment, as the kernel or /proc dates it.
    pub fn started_at(&self, start_time_ns: u64) -> bool {
        self.start_time_ns / TICK_NS == start_time_ns / TICK_NS
    }
}

/// All that is new since the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Saving {
    pub boot_id: String,
    pub t_ns: u64,
    /// Of CLOCK_REALTIME.
    pub wall_offset_ns: i64,
    /// Of the last line of the kernel's log about a kill; `None`: the log is not read.
    pub log_sequence: Option<u64>,
    pub processes: Vec<Kept>,
    /// Who had ended, and when they were started.
    pub over: Vec<(u32, u64)>,
}

/// Of a process whose end nobody saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// When it was last known to live.
    pub saved_ns: u64,
    /// `None`: after a reboot, whose clock is another.
    pub found_ns: Option<u64>,
    /// Of the clock that the times of its dossier are on.
    pub wall: ClockOffset,
}

/// One process, put together again.
#[derive(Debug)]
pub(super) struct Remembered {
    kept: Kept,
    timeline: Timeline,
    saved_ns: u64,
    is_of_this_boot: bool,
    wall: ClockOffset,
    log_sequence: Option<u64>,
}

/// All that was saved, by pid and start.
#[derive(Debug, Default)]
pub struct Past {
    boot_id: String,
    timeline: TimelineConfig,
    max_processes: usize,
    processes: HashMap<(u32, u64), Remembered>,
}

fn key(pid: u32, start_time_ns: u64) -> (u32, u64) {
    (pid, start_time_ns / TICK_NS)
}

impl Past {
    pub fn new(boot_id: String, timeline: TimelineConfig, max_processes: usize) -> Past {
        Past { boot_id, timeline, max_processes, processes: HashMap::new() }
    }

    /// In the order that they were saved in.
    pub fn add(&mut self, saving: Saving) {
        let Saving { boot_id, t_ns, wall_offset_ns, log_sequence, processes, over } = saving;
        let is_of_this_boot = boot_id == self.boot_id;
        let wall = ClockOffset { offset_ns: wall_offset_ns, uncertainty_ns: 0 };
        for mut kept in processes {
            let key = key(kept.pid, kept.start_time_ns);
            let before = self.processes.remove(&key);
            if before.is_none() && self.processes.len() >= self.max_processes {
                continue;
            }
            let (mut timeline, first, last) = match before {
                Some(before) => (before.timeline, before.kept.first, before.kept.last),
                None => (Timeline::new(self.timeline), None, None),
            };
            std::mem::take(&mut kept.packed).iter().for_each(|packed| timeline.unpack(packed));
            kept = Kept { first: kept.first.or(first), last: kept.last.or(last), ..kept };
            let remembered = Remembered { kept, timeline, saved_ns: t_ns, is_of_this_boot, wall, log_sequence };
            self.processes.insert(key, remembered);
        }
        for (pid, start_time_ns) in over {
            self.processes.remove(&key(pid, start_time_ns));
        }
    }

    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Any of it.
    pub fn is_before_reboot(&self) -> bool {
        self.processes.values().any(|of| !of.is_of_this_boot)
    }

    /// Of a process that is there again.
    fn claim(&mut self, pid: u32, start_time_ns: u64) -> Option<Remembered> {
        let key = key(pid, start_time_ns);
        self.processes.get(&key).filter(|known| known.is_of_this_boot)?;
        self.processes.remove(&key)
    }
}

impl Remembered {
    /// Its timeline goes on, with a gap.
    fn resume(self) -> Watched {
        let base = self.timeline.newest();
        let mut gaps = self.kept.gaps;
        gaps.truncate(GAPS_MAX - 1);
        let (first, last, workload) = (self.kept.first, self.kept.last, self.kept.workload);
        Watched { timeline: self.timeline, first, last, gaps, workload, base, ..Watched::default() }
    }

    /// What the kernel's log said of it since.
    fn lines(&self, log: &[KernelLine]) -> Vec<KernelLine> {
        let Some(since) = self.log_sequence.filter(|_| self.is_of_this_boot) else { return Vec::new() };
        let own = log.iter().filter(|line| line.pid == self.kept.pid && line.sequence > since);
        // The pid may have been used again: of each kind the first is its own.
        let first = |is_before| own.clone().find(move |line| line.is_before == is_before);
        [first(true), first(false)].into_iter().flatten().cloned().collect()
    }

    /// In thousandths of the limit.
    fn room(&self) -> u64 {
        let of = |point: Point| {
            let (charge, limit) = (point.get(Signal::Charge)?, point.get(Signal::Limit).filter(|limit| *limit > 0)?);
            Some(u128::from(limit.saturating_sub(charge)) * 1000 / u128::from(limit))
        };
        self.timeline.newest().and_then(of).map_or(u64::MAX, |room| room as u64)
    }

    fn dossier(self, found_ns: u64, lines: Vec<KernelLine>) -> Dossier {
        let found_ns = self.is_of_this_boot.then_some(found_ns);
        let lost = Lost { saved_ns: self.saved_ns, found_ns, wall: self.wall };
        let process = ProcessSnapshot {
            pid: Some(self.kept.pid),
            start_time_ns: Some(self.kept.start_time_ns),
            comm: self.kept.comm.clone(),
            exe: self.kept.exe.clone(),
            go: self.kept.go.clone(),
            processes: 1,
            ..ProcessSnapshot::default()
        };
        Open::lost(lost, lines).close(process, Some(self.resume()))
    }
}

impl Watched {
    /// The ledger goes on where the one before it was left, and a gap ends.
    pub(super) fn join(&mut self, point: &mut Point) {
        let Some(base) = &self.base else { return };
        for signal in OF_LEDGER {
            let sum = point.get(signal).map(|value| value.saturating_add(base.get(signal).unwrap_or(0)));
            point.set(signal, sum.or(base.get(signal)));
        }
        if self.timeline.end_ns() == Some(base.t_ns) && point.t_ns > base.t_ns {
            self.gaps.push((base.t_ns, point.t_ns));
        }
    }
}

impl BlackBox {
    /// What another memtrace saved before it was killed.
    pub fn remember(&mut self, past: Past) {
        self.past = past;
    }

    pub(super) fn resumed(&mut self, target: TargetId) -> Option<Watched> {
        if self.past.is_empty() {
            return None;
        }
        let process = self.aggregator.process(target)?;
        let mut watched = self.past.claim(process.pid?, process.start_time_ns?).map(Remembered::resume)?;
        // Histories may have been cut since the start.
        watched.timeline.limit(self.config.timeline.max_bytes);
        Some(watched)
    }

    /// Dossiers of those who are gone, and how many more there are. `is_lost`: it neither lives nor was written down.
    pub fn lost(
        &mut self,
        found_ns: u64,
        log: &[KernelLine],
        is_lost: impl Fn(&Kept, bool) -> bool,
    ) -> (Vec<Dossier>, usize) {
        let open = self.open_pids();
        let log: Vec<KernelLine> = log.iter().chain(&self.log).cloned().collect();
        let gone = self.past.processes.extract_if(|_, of| {
            !(of.is_of_this_boot && open.contains(&of.kept.pid)) && is_lost(&of.kept, of.is_of_this_boot)
        });
        let mut gone: Vec<_> = gone.map(|(_, of)| (of.lines(&log), of)).collect();
        let triggers = &self.config.triggers;
        gone.retain(|(lines, _)| {
            triggers.contains(&Trigger::Lost) || !lines.is_empty() && triggers.contains(&Trigger::Oom)
        });
        gone.sort_by_key(|(lines, of)| (lines.is_empty(), of.room(), of.kept.pid));
        let left_out = gone.len().saturating_sub(LOST_MAX);
        gone.truncate(LOST_MAX);
        (gone.into_iter().map(|(lines, of)| of.dossier(found_ns, lines)).collect(), left_out)
    }

    /// What is new of everybody; `is_whole`: all there is. Of one process at most so many bytes of its timeline.
    pub fn save(&mut self, t_ns: u64, is_whole: bool, max_bytes: usize) -> (Vec<Kept>, Vec<(u32, u64)>) {
        if t_ns > self.config.start_ns.saturating_add(CLAIM_NS) {
            self.past = Past::default();
        }
        let mut processes = Vec::new();
        for (target, watched) in &mut self.watched {
            let Some(process) = self.aggregator.process(*target) else { continue };
            let Some((pid, start_time_ns)) = process.pid.zip(process.start_time_ns) else { continue };
            let saved = std::mem::replace(&mut watched.saved_ns, watched.timeline.end_ns()).filter(|_| !is_whole);
            let is_new = |look: &&Closeup| saved.is_none() || look.t_ns > watched.looked_ns;
            let (first, last) = (watched.first.as_ref().filter(is_new), watched.last.as_ref().filter(is_new));
            let (first, last) = (first.cloned(), last.cloned());
            watched.looked_ns = last.as_ref().or(first.as_ref()).map_or(watched.looked_ns, |look| look.t_ns);
            processes.push(Kept {
                pid,
                start_time_ns,
                comm: process.comm,
                exe: process.exe,
                go: process.go,
                workload: watched.workload.clone(),
                gaps: watched.gaps.clone(),
                packed: watched.timeline.packed(saved, max_bytes),
                first,
                last,
            });
        }
        (processes, std::mem::take(&mut self.over))
    }

    /// The last line about a kill that it was told of, before those that are of a death still being written down.
    pub fn log_sequence(&self) -> Option<u64> {
        let open: Vec<u32> = self.open_pids();
        let unsettled =
            self.log.iter().filter(|line| open.contains(&line.pid)).map(|line| line.sequence.saturating_sub(1)).min();
        self.log_sequence.map(|last| unsettled.unwrap_or(last).min(last))
    }

    fn open_pids(&self) -> Vec<u32> {
        self.cases.iter().filter_map(|case| self.aggregator.process(case.target)?.pid).collect()
    }

    pub fn log_read_up_to(&mut self, sequence: u64) {
        self.log_sequence = self.log_sequence.max(Some(sequence));
    }

    /// Nobody needs its history any more.
    pub(super) fn let_go(&mut self, target: TargetId) -> Option<Watched> {
        let process = self.aggregator.process(target);
        let who = process.and_then(|process| process.pid.zip(process.start_time_ns));
        let past = who.and_then(|(pid, start_time_ns)| self.past.claim(pid, start_time_ns));
        let watched = self.watched.remove(&target);
        if let Some(who) = who.filter(|_| watched.as_ref().is_some_and(|watched| watched.saved_ns.is_some())) {
            self.over.push(who);
        }
        watched.or_else(|| past.map(Remembered::resume))
    }
}

#[cfg(test)]
mod tests;
