//! What the black box knows of the living at one instant, for those who ask.
use super::blackbox::Watched;
use super::case::Open;
use super::{BlackBox, Dossier, Ration, Trigger};
use crate::account::Account;
use crate::cgroup::workload::Workload;
use crate::enrich::{Lives, Sampling};
use crate::event::{Refaults, TargetId};
use crate::goruntime::GoFigures;
use crate::snapshot::ProcessSnapshot;
use crate::timeline::{Point, Signal};
use std::collections::HashMap;

/// Processes without a timeline that are remembered before those that have ended are left out.
const TURNED_AWAY: usize = 4096;

/// Immutable: it is rendered on another thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Present {
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// Those that have a timeline, in the order that they were met in.
    pub processes: Vec<Living>,
    pub account: Account,
    /// Those that have none, for want of room.
    pub without_timeline: u64,
    /// Stalls to reclaim are seen on this host: else that there were none says nothing.
    pub knows_stalls: bool,
    pub sampling: Sampling,
    /// Of all processes that were ever watched.
    pub lives: Lives,
    /// `None`: nothing is recorded.
    pub recording: Option<Recorded>,
    pub reloads: Reloads,
    pub ration: Ration,
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    pub succeeded: u64,
    pub failed: u64,
    /// What counts is older than the file.
    pub last_failed: bool,
}

impl Reloads {
    pub fn add(&mut self, is_right: bool) {
        self.succeeded += u64::from(is_right);
        self.failed += u64::from(!is_right);
        self.last_failed = !is_right;
    }
}

/// What has become of the rows of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// In files that are whole.
    pub rows: u64,
    pub dropped_rows: u64,
    /// All files there are.
    pub bytes: u64,
    /// `None`: they stay where they are.
    pub upload: Option<Uploaded>,
}

/// What has become of the files of a recording elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uploaded {
    pub files: u64,
    pub bytes: u64,
    /// Attempts.
    pub failures: u64,
    /// Files that are still to be uploaded.
    pub waiting: u64,
    /// Files that went before they were: too much, or too old.
    pub dropped_bytes: u64,
    pub dropped_age: u64,
    /// Since 1970; `None`: not since memtrace was started.
    pub last_success_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Living {
    /// Since memtrace was started.
    pub process: ProcessSnapshot,
    /// The newest of its timeline: all of one instant.
    pub point: Option<Point>,
    pub workload: Option<Workload>,
    /// By the kernel's count, since it is watched.
    pub refaults: Option<Box<Refaults>>,
    /// The newest close look at its RSS.
    pub divided: Option<Divided>,
    /// What its Go runtime said when it was last asked.
    pub go: Option<Box<GoFigures>>,
}

/// All of an RSS by bucket, at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Divided {
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// The rest, `unknown`, is one of them: they sum to RSS.
    pub buckets: Vec<(&'static str, u64)>,
}

impl Divided {
    /// The last that could be divided.
    fn of(watched: &Watched) -> Option<Divided> {
        let looks = [&watched.last, &watched.first];
        let (t_ns, fall) = looks.into_iter().flatten().find_map(|look| Some((look.t_ns, look.waterfall.as_ref()?)))?;
        let named = fall.buckets.iter().map(|bucket| (bucket.name, bucket.bytes));
        Some(Divided { t_ns, buckets: named.chain([("unknown", fall.unknown_bytes)]).collect() })
    }
}

impl BlackBox {
    /// Processes that have a timeline.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    /// Some deaths are not told yet.
    pub fn has_cases(&self) -> bool {
        !self.cases.is_empty()
    }

    /// The account is another's to give, as is what is read of Go at once.
    pub fn present(&self, t_ns: u64) -> Present {
        // Of others it is not known yet whether they are meant, or there was no room for a timeline.
        let living = |process: ProcessSnapshot| {
            let watched = self.watched.get(&process.target)?;
            Some(Living {
                point: watched.timeline.newest(),
                workload: watched.workload.clone(),
                refaults: self.aggregator.refaults(process.target).cloned().map(Box::new),
                divided: Divided::of(watched),
                go: None,
                process,
            })
        };
        let mut processes: Vec<Living> = self.aggregator.living().into_iter().filter_map(living).collect();
        // The end of one that had the pid before may not have been seen.
        let newest: HashMap<_, _> = processes.iter().map(|of| (of.process.pid, of.process.target)).collect();
        processes.retain(|of| newest.get(&of.process.pid) == Some(&of.process.target));
        let without_timeline = self.without_timeline() as u64;
        Present { t_ns, processes, without_timeline, ration: self.ration, ..Present::default() }
    }

    /// Whether anything is known of it, still.
    pub fn knows(&self, target: TargetId) -> bool {
        self.aggregator.knows(target)
    }

    /// One that may have ended; `None`: not known, or no longer.
    pub fn process(&self, target: TargetId) -> Option<ProcessSnapshot> {
        self.aggregator.process(target)
    }

    /// All that is known of a process that lives, as a dossier of it would say now. `None`: it is not watched.
    pub fn portrait(&self, pid: u32, t_ns: u64) -> Option<Box<Dossier>> {
        let target = self.aggregator.living_of(pid).filter(|target| self.watched.contains_key(target))?;
        let (process, watched) = (self.aggregator.process(target)?, self.watched.get(&target).cloned());
        let mut dossier = Open::new(target, Trigger::Command, t_ns).close(process, watched);
        let falls = [&dossier.first, &dossier.last].map(|look| look.as_ref()?.waterfall.clone());
        dossier.process.waterfalls = falls.map(|fall| fall.map(Box::new));
        Some(Box::new(dossier))
    }

    /// Processes that live and have no timeline.
    fn without_timeline(&self) -> usize {
        self.turned_away.iter().filter(|target| self.aggregator.lives(**target)).count()
    }

    pub(super) fn turn_away(&mut self, target: TargetId) {
        if self.turned_away.len() >= TURNED_AWAY && !self.turned_away.contains(&target) {
            let aggregator = &self.aggregator;
            self.turned_away.retain(|target| aggregator.lives(*target));
        }
        self.turned_away.insert(target);
    }
}

/// What may still be charged before nothing is left to reclaim without swap.
pub fn headroom(point: &Point) -> Option<u64> {
    let nonreclaimable = point.get(Signal::Charge)?.saturating_sub(point.reclaimable_bytes());
    Some(point.get(Signal::Limit)?.saturating_sub(nonreclaimable))
}
