//! What is kept of every process in case it dies, and the deaths that are being written down. Pure: it knows no clock.
//!
//! Memory: a process costs its timeline (at most `TimelineConfig::max_bytes`, 256 KiB; less where little changes), and
//! at most 192 KiB for two close looks, the ledger and what it is called. `tests/tests/bound.rs` fills it.
use super::case::Open;
use super::past::{Gap, Past};
use super::present::headroom;
use super::ration::Ration;
use super::{Dossier, GoSaid, Trigger};
use crate::aggregate::{AggregateConfig, Aggregator, ProcessInfo};
use crate::cgroup::Account;
use crate::cgroup::workload::Workload;
use crate::enrich::{Closeup, LastState};
use crate::event::{Event, Meta, TargetId, TaskWhat};
use crate::goruntime::Sample;
use crate::snapshot::ProcessSnapshot;
use crate::source::kmsg::KernelLine;
use crate::timeline::{Marks, Point, Signal, Timeline, TimelineConfig};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;

/// Deaths that are written down at once; more are counted.
const CASES_MAX: usize = 1024;
/// The need of a closer look is said no more often.
const PRESSED_NS: u64 = 100_000_000;
/// That little is left is told again after so long.
const AGAIN_NS: u64 = 300_000_000_000;
/// Two for each.
const LINES_MAX: usize = 2 * CASES_MAX;

#[derive(Clone, Debug)]
pub struct BlackBoxConfig {
    pub start_ns: u64,
    pub timeline: TimelineConfig,
    /// Processes with a timeline; of others only the death is known.
    pub max_processes: usize,
    /// RSS of memtrace itself; `None`: whatever it takes.
    pub max_rss_bytes: Option<u64>,
    pub triggers: Vec<Trigger>,
    /// With less than this part of the limit left, not counting what the kernel can reclaim without swap, the headroom
    /// trigger fires.
    pub headroom_percent: u64,
}

/// What should be read now, while it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The process was killed: what is its cgroup charged?
    Account,
    /// Its memory is short: more points for a while, and close looks.
    Closer,
    /// A close look, now.
    Look,
}

/// What is kept of a living process.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) timeline: Timeline,
    pub(super) marks: Marks,
    /// When it was last said that it is short of memory.
    pub(super) pressed_ns: u64,
    /// Half of the limit or more was left at the last point, not counting what the kernel can reclaim: page cache at a limit
    /// is no shortage.
    pub(super) has_room: bool,
    /// When little was last left, until there is enough again.
    pub(super) ran_out_ns: Option<u64>,
    pub(super) first: Option<Closeup>,
    pub(super) last: Option<Closeup>,
    pub(super) gaps: Vec<Gap>,
    pub(super) workload: Option<Workload>,
    /// The last point of the memtrace before.
    pub(super) base: Option<Point>,
    /// Up to which point, and which close look, it is saved.
    pub(super) saved_ns: Option<u64>,
    pub(super) looked_ns: u64,
}

impl Watched {
    /// Little is left for the first time, since there was twice as much or for long.
    fn runs_out(&mut self, point: &Point, percent: u64) -> bool {
        let Some((left, limit)) = headroom(point).zip(point.get(Signal::Limit)) else { return false };
        self.has_room = left >= limit / 2;
        let threshold = limit / 100 * percent;
        if left >= threshold {
            self.ran_out_ns = self.ran_out_ns.filter(|_| left < 2 * threshold);
            return false;
        }
        let is_new = self.ran_out_ns.is_none_or(|t_ns| point.t_ns.saturating_sub(t_ns) >= AGAIN_NS);
        if is_new {
            self.ran_out_ns = Some(point.t_ns);
        }
        is_new
    }
}

/// See the module.
#[derive(Debug)]
pub struct BlackBox {
    pub(super) config: BlackBoxConfig,
    pub(super) ration: Ration,
    pub(super) aggregator: Aggregator,
    pub(super) watched: HashMap<TargetId, Watched>,
    pub(super) cases: Vec<Open>,
    /// Told of before they had ended.
    told: HashSet<TargetId>,
    pub(super) past: Past,
    /// Who has ended since the last saving, and when they were started.
    pub(super) over: Vec<(u32, u64)>,
    pub(super) log_sequence: Option<u64>,
    /// The newest lines of the kernel's log about OOM kills.
    pub(super) log: VecDeque<KernelLine>,
    without_room: u64,
    /// Who found no room; some may have ended since.
    pub(super) turned_away: HashSet<TargetId>,
    without_case: u64,
}

impl BlackBox {
    pub fn new(config: BlackBoxConfig) -> BlackBox {
        let aggregator = Aggregator::new(AggregateConfig::starting_at(config.start_ns).holding(config.max_processes));
        Self {
            ration: Ration::new(config.max_rss_bytes, config.timeline.max_bytes),
            config,
            aggregator,
            watched: HashMap::new(),
            cases: Vec::new(),
            past: Past::default(),
            over: Vec::new(),
            log_sequence: None,
            told: HashSet::new(),
            log: VecDeque::new(),
            without_room: 0,
            turned_away: HashSet::new(),
            without_case: 0,
        }
    }

    pub fn register(&mut self, info: ProcessInfo) {
        self.aggregator.register(info);
    }

    pub fn is_in(&mut self, target: TargetId, cgroup: Option<PathBuf>) {
        self.aggregator.is_in(target, cgroup);
    }

    pub fn forget(&mut self, target: TargetId) {
        self.let_go(target);
        self.told.remove(&target);
        self.aggregator.forget(target);
        self.cases.retain(|case| case.target != target);
    }

    /// It has ended unheard: if it was being killed, that is still told.
    pub fn gone(&mut self, target: TargetId) {
        self.aggregator.gone(target);
        self.told.remove(&target);
        if !self.cases.iter().any(|case| case.target == target) {
            self.let_go(target);
        }
    }

    pub fn event(&mut self, event: &Event) -> Option<Need> {
        self.aggregator.apply(event);
        // Of one that was not meant nothing is written down.
        let meta = event.meta().filter(|meta| meta.target != 0 && self.aggregator.knows(meta.target))?;
        let is_killed = match event {
            Event::Oom(oom) => {
                let (is_new, case) = self.died(meta.target, meta.t_ns, Trigger::Oom);
                case.into_iter().for_each(|case| case.oom(oom));
                is_new
            }
            Event::Task(task) => match task.what {
                TaskWhat::Kill { .. } => self.died(meta.target, meta.t_ns, Trigger::Kill).0,
                TaskWhat::Exit { status, .. } => {
                    // Once is enough, also for one that took long to end.
                    let is_told = self.told.remove(&meta.target);
                    if status != 0 && !is_told {
                        self.died(meta.target, meta.t_ns, Trigger::Exit);
                    }
                    let known = self.cases.iter_mut().find(|case| case.target == meta.target);
                    known.into_iter().for_each(|case| case.ended(meta.t_ns));
                    if !self.cases.iter().any(|case| case.target == meta.target) {
                        self.let_go(meta.target);
                    }
                    false
                }
                _ => false,
            },
            Event::Pressure(_) | Event::Reclaim(_) => return self.pressed(meta, event),
            _ => false,
        };
        is_killed.then_some(Need::Account)
    }

    /// What told that memory is short; a stall that found something to reclaim does not.
    fn pressed(&mut self, meta: &Meta, event: &Event) -> Option<Need> {
        let watched = self.watched.get_mut(&meta.target)?;
        let is_short = match event {
            Event::Pressure(event) => {
                watched.marks.told(event);
                event.told.what.is_short() && (event.told.cgroup.is_none() || !watched.has_room)
            }
            Event::Reclaim(event) => {
                watched.marks.stalled(event);
                event.reclaimed_bytes == 0
            }
            _ => false,
        };
        let is_news = meta.t_ns.saturating_sub(watched.pressed_ns) >= PRESSED_NS;
        if is_short && is_news {
            watched.pressed_ns = meta.t_ns;
        }
        (is_short && is_news).then_some(Need::Closer)
    }

    /// A Go runtime ends its process; the exit that follows is of the same case.
    pub fn fatal(&mut self, said: GoSaid) -> Option<Need> {
        self.aggregator.knows(said.target).then_some(())?;
        let (is_new, case) = self.died(said.target, said.t_ns, Trigger::Fatal);
        if let Some(case) = case {
            case.said(said);
        }
        is_new.then_some(Need::Account)
    }

    pub fn sample(&mut self, event: &Event) {
        self.aggregator.apply(event);
    }

    /// With what the ledger knows at that moment; as it is kept. `None`: it is not.
    pub fn point(&mut self, target: TargetId, mut point: Point) -> Option<Point> {
        let ledger = self.aggregator.figures(target)?;
        point.set(Signal::Lazy, ledger.lazy_bytes);
        point.set(Signal::Returned, ledger.returned_bytes);
        point.set(Signal::Refaulted, ledger.refaulted_bytes);
        point.set(Signal::Faults, ledger.faults);
        point.set(Signal::ReclaimStall, ledger.reclaim_stall_ns);
        let headroom_percent = self.config.headroom_percent;
        let watched = self.watch(target)?;
        watched.join(&mut point);
        watched.timeline.push(&point);
        if watched.runs_out(&point, headroom_percent) {
            self.case(target, Trigger::Headroom, point.t_ns);
        }
        Some(point)
    }

    /// Everybody who lives, because the user asks. Whom to look at: a close look makes each complete.
    pub fn command(&mut self, t_ns: u64) -> Vec<(TargetId, u32)> {
        let mut targets: Vec<TargetId> = self.watched.keys().copied().collect();
        targets.sort_unstable();
        let mut asked = Vec::new();
        for target in targets {
            if self.case(target, Trigger::Command, t_ns).0 {
                let pid = self.aggregator.process(target).and_then(|process| process.pid);
                asked.extend(pid.map(|pid| (target, pid)));
            }
        }
        asked
    }

    pub fn closeup(&mut self, closeup: Closeup) {
        if let Some(watched) = self.watch(closeup.target) {
            let into = if watched.first.is_none() { &mut watched.first } else { &mut watched.last };
            *into = Some(closeup);
        }
    }

    pub fn workload(&mut self, target: TargetId, workload: Workload) {
        if let Some(watched) = self.watched.get_mut(&target) {
            watched.workload = Some(workload);
        }
    }

    pub fn account(&mut self, target: TargetId, t_ns: u64, account: Account) {
        if let Some(case) = self.cases.iter_mut().find(|case| case.target == target) {
            case.account(t_ns, account);
        }
    }

    pub fn address_space(&mut self, target: TargetId, limit_bytes: u64) {
        if let Some(case) = self.cases.iter_mut().find(|case| case.target == target) {
            case.address_space(limit_bytes);
        }
    }

    pub fn words(&mut self, target: TargetId, t_ns: u64, sample: Sample) {
        if let Some(case) = self.cases.iter_mut().find(|case| case.target == target) {
            case.words(t_ns, sample);
        }
    }

    pub fn last_state(&mut self, state: LastState) {
        if let Some(case) = self.cases.iter_mut().find(|case| case.target == state.target) {
            case.last_state(state);
        }
    }

    /// A line of the kernel's log may come before the kill's record, or after it: a death looks for its own at the end.
    pub fn kernel_line(&mut self, line: KernelLine) {
        if self.log.len() >= LINES_MAX {
            self.log.pop_front();
        }
        self.log_read_up_to(line.sequence);
        self.log.push_back(line);
    }

    /// The dossiers that are complete by now.
    pub fn beat(&mut self, t_ns: u64) -> Vec<Dossier> {
        self.close(|case| case.is_complete_at(t_ns))
    }

    /// All of them, as they are.
    pub fn finish(&mut self) -> Vec<Dossier> {
        self.close(|_| true)
    }

    /// What the reader must know.
    pub fn notes(&self) -> Vec<String> {
        let counted = [
            (self.without_room, "points were not kept: more processes than have room"),
            (self.without_case, "deaths have no dossier: too many at once"),
        ];
        counted.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect()
    }

    fn watch(&mut self, target: TargetId) -> Option<&mut Watched> {
        if !self.watched.contains_key(&target) {
            let is_over = self.aggregator.process(target).is_none_or(|process| process.exit.is_some());
            if is_over && !self.cases.iter().any(|case| case.target == target) {
                return None;
            }
            if self.watched.len() >= self.config.max_processes {
                self.without_room += 1;
                self.turn_away(target);
                return None;
            }
            let timeline = self.config.timeline;
            let new = || Watched { timeline: Timeline::new(timeline), ..Watched::default() };
            let watched = self.resumed(target).unwrap_or_else(new);
            self.watched.insert(target, watched);
            self.turned_away.remove(&target);
        }
        self.watched.get_mut(&target)
    }

    /// The open case of a death, and whether it is new: one of the living is none.
    fn died(&mut self, target: TargetId, t_ns: u64, trigger: Trigger) -> (bool, Option<&mut Open>) {
        let is_asked_for = self.config.triggers.contains(&trigger);
        let living = self.cases.iter().position(|case| case.target == target && case.is_of_the_living());
        if let Some(at) = living.filter(|_| is_asked_for) {
            let mut case = self.cases.get_mut(at);
            case.iter_mut().for_each(|case| case.died(trigger, t_ns));
            return (true, case);
        }
        self.case(target, trigger, t_ns)
    }

    /// The open case, and whether it is new; `None`: not asked for, or too many.
    fn case(&mut self, target: TargetId, trigger: Trigger, t_ns: u64) -> (bool, Option<&mut Open>) {
        if let Some(at) = self.cases.iter().position(|case| case.target == target) {
            return (false, self.cases.get_mut(at));
        }
        if !self.config.triggers.contains(&trigger) {
            return (false, None);
        }
        if self.cases.len() >= CASES_MAX {
            self.without_case += 1;
            return (false, None);
        }
        self.cases.push(Open::new(target, trigger, t_ns));
        (true, self.cases.last_mut())
    }

    fn close(&mut self, is_complete: impl Fn(&Open) -> bool) -> Vec<Dossier> {
        let (done, open) = std::mem::take(&mut self.cases).into_iter().partition(is_complete);
        self.cases = open;
        let done: Vec<Open> = done;
        done.into_iter()
            .map(|mut case| {
                if !case.has_ended() && !case.is_of_the_living() {
                    self.told.insert(case.target);
                }
                let process = self
                    .aggregator
                    .process(case.target)
                    .unwrap_or_else(|| ProcessSnapshot { target: case.target, ..ProcessSnapshot::default() });
                let own = self.log.iter().rev().filter(|line| Some(line.pid) == process.pid);
                own.for_each(|line| case.line(line.clone()));
                // The living go on.
                let watched = match case.is_of_the_living() {
                    true => self.watched.get(&case.target).cloned(),
                    false => self.let_go(case.target),
                };
                case.close(process, watched)
            })
            .collect()
    }
}
