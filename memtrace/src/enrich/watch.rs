//! What the black box is fed with: a point of every process each second, ten a second where its cgroup has little room
//! left, and close looks while they can still be had.
use super::News;
use super::closeup::Closeup;
use super::instant::Instant;
use super::points::PointReader;
use super::rooms::{Little, Rooms};
use super::walked::Walks;
use crate::cgroup::Account;
use crate::cgroup::workload::Workload;
use crate::event::{TargetId, Walk};
use crate::goruntime::{Finder, GoFigures};
use crate::host::mounts::CgroupFacts;
use crate::procfs::process::Status;
use crate::procfs::{clock, own};
use crate::source::kmsg::Kmsg;
use crate::timeline::{Point, Signal};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;
/// The clock of the rounds is this part of one early rather than late.
const SLACK: u64 = 20;
/// Close looks are this far apart, and their cost is at most one part in so many of the time.
const LOOK_NS: u64 = SECOND_NS;
const LOOK_COST: u64 = 5;
/// And no look is begun so long after the tick they belong to.
const LOOKS_NS: u64 = SECOND_NS / 20;
/// So long after memory was told to be short there are points at every tick.
const PRESSED_NS: u64 = 10 * SECOND_NS;
/// Without any need for one there is one so often.
const LOOK_ANYWAY_NS: u64 = 300 * SECOND_NS;

/// How often points are taken, and when more than that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Between two points of a process.
    pub round_ns: u64,
    /// With less than this part of the limit left, or so little time at the present pace, points come at every tick.
    pub burst_percent: u64,
    pub burst_ns: u64,
    /// With less than this part left there is a close look now and then.
    pub look_percent: u64,
    /// Of one CPU: rounds come less often where memtrace would take more; `None`: however much it takes.
    pub cpu_percent: Option<u64>,
    /// But no less often than this.
    pub longest_ns: u64,
}

impl Pace {
    /// After so much work there is no round before so much time has gone by.
    fn owes_ns(&self, taken_ns: u64) -> u64 {
        let owes = |percent: u64| taken_ns.saturating_mul(100) / percent.max(1);
        self.cpu_percent.map_or(0, |percent| owes(percent).min(self.longest_ns))
    }

    /// With so little room points, or close looks, come more often than rounds.
    fn little(&self) -> Little {
        Little { percent: self.burst_percent.max(self.look_percent), within_ns: self.burst_ns }
    }

    /// What is said of the first rounds that are left out.
    fn thin(&self, missed: u64) -> String {
        let rounds = missed + 1;
        let percent = self.cpu_percent.unwrap_or_default();
        format!(
            "the points of {rounds} rounds came as one: in time they would take more than {percent} % of a CPU, or it had none"
        )
    }
}

/// Whom it looks at, and when next.
#[derive(Debug)]
struct Watched {
    target: TargetId,
    reader: PointReader,
    has_point: bool,
    /// When its last close look ended, and from when on there may be another.
    looked_ns: Option<u64>,
    next_look_ns: u64,
    pressed_until_ns: u64,
    /// Its addresses will have names when it is gone.
    is_attached: bool,
}

/// One visit to everybody.
pub(super) struct Round {
    now_ns: u64,
    is_round: bool,
    /// False: a visit would find nothing to do.
    pub(super) is_for_all: bool,
    /// Points that lack what the others of their cgroups have, which is known when all have been visited.
    points: Vec<Taken>,
    /// Who wants a close look, and when the last one ended.
    due: Vec<(u64, u32)>,
}

struct Taken {
    pid: u32,
    target: TargetId,
    point: Box<Point>,
    directory: Option<PathBuf>,
    /// Where that may have changed.
    workload: Option<Workload>,
}

impl Round {
    fn at(now_ns: u64, is_round: bool) -> Round {
        Round { now_ns, is_round, is_for_all: true, points: Vec::new(), due: Vec::new() }
    }
}

/// Of all targets.
#[derive(Debug)]
pub struct Watcher {
    facts: Arc<CgroupFacts>,
    instant: Instant,
    watched: HashMap<u32, Watched>,
    rooms: Rooms,
    round_ns: u64,
    /// What memtrace had taken of the CPUs when that round began.
    round_cpu_ns: u64,
    log: Option<Kmsg>,
    pace: Pace,
    walks: Walks,
    sampling: Sampling,
    /// Until when somebody's memory is short.
    pressed_until_ns: u64,
    /// Somebody still waits for a point or a close look.
    is_behind: bool,
}

/// How much it has looked since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// Points of all timelines.
    pub points: u64,
    /// Points that were due and not taken: a round came late.
    pub thinned: u64,
    /// Close looks.
    pub looks: u64,
}

impl Watcher {
    pub fn new(facts: CgroupFacts, log: Option<Kmsg>, pace: Pace) -> Watcher {
        let facts = Arc::new(facts);
        Watcher {
            instant: Instant::new(Arc::clone(&facts)),
            facts,
            watched: HashMap::new(),
            rooms: Rooms::default(),
            round_ns: 0,
            round_cpu_ns: 0,
            log,
            pace,
            walks: Walks::new(),
            sampling: Sampling::default(),
            pressed_until_ns: 0,
            is_behind: true,
        }
    }

    pub(super) fn settle(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// It has ended, or is another program now.
    pub(super) fn forget(&mut self, pid: u32) {
        if let Some(watched) = self.watched.remove(&pid) {
            self.walks.forget(pid, watched.target);
        }
    }

    /// It is time to look at everybody again.
    pub(super) fn is_round(&self, now_ns: u64) -> bool {
        let since_ns = now_ns.saturating_sub(self.round_ns);
        since_ns + self.pace.round_ns / SLACK >= self.pace.round_ns && since_ns >= self.pace.owes_ns(self.taken_ns())
    }

    /// Of the CPUs, since the last round began; not counted where nobody asks.
    fn taken_ns(&self) -> u64 {
        let of = self.pace.cpu_percent.filter(|_| self.round_ns > 0);
        of.map_or(0, |_| own::cpu_ns().saturating_sub(self.round_cpu_ns))
    }

    /// Before this one; the first of all has none before it.
    fn missed_rounds(&self, now_ns: u64) -> u64 {
        let round_ns = self.pace.round_ns.max(1);
        let since_ns = if self.round_ns == 0 { 0 } else { now_ns.saturating_sub(self.round_ns) };
        (since_ns.saturating_add(round_ns / SLACK) / round_ns).saturating_sub(1)
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// What its Go runtime said at its newest point.
    pub(super) fn go(&self, pid: u32, target: TargetId) -> Option<&GoFigures> {
        self.watched.get(&pid).filter(|watched| watched.target == target)?.reader.figures()
    }

    /// Everybody who is there, `targets` of them, is visited between this and [`Watcher::end`].
    pub(super) fn begin(&mut self, now_ns: u64, is_round: bool, targets: usize, tell: &mut impl FnMut(News)) -> Round {
        if is_round {
            let missed = self.missed_rounds(now_ns);
            if missed > 0 && self.sampling.thinned == 0 && self.pace.cpu_percent.is_some() {
                tell(News::Note(self.pace.thin(missed)));
            }
            self.sampling.thinned += missed * targets as u64;
            self.round_ns = now_ns;
            self.round_cpu_ns = own::cpu_ns();
            self.rooms.keep(&self.watched.values().filter_map(|of| Some(of.reader.directory()?.as_os_str())).collect());
        }
        self.rooms.measure(now_ns, self.facts.memory_version.unwrap_or(2), self.pace.little());
        let is_for_all = is_round || self.is_behind || targets != self.watched.len() || self.is_short(now_ns);
        self.is_behind &= !is_for_all;
        Round { is_for_all, ..Round::at(now_ns, is_round) }
    }

    fn is_short(&self, now_ns: u64) -> bool {
        now_ns < self.pressed_until_ns || self.rooms.any(|room| room.is_little(self.pace.little()))
    }

    pub(super) fn end(&mut self, mut round: Round, finder: &mut Finder, tell: &mut impl FnMut(News)) {
        self.tell_points(&mut round, tell);
        // Who was looked at longest ago comes first, the new ones before all. What is asked for meanwhile waits.
        round.due.sort_unstable();
        let mut due = round.due.into_iter();
        for (_, pid) in due.by_ref() {
            self.look(pid, finder, tell);
            if clock::monotonic_ns().saturating_sub(round.now_ns) > LOOKS_NS {
                break;
            }
        }
        self.is_behind |= due.len() > 0;
        self.tell_log(tell);
    }

    /// One who is there from the start, at once: it may be killed before the first tick.
    pub(super) fn meet(&mut self, pid: u32, target: TargetId, finder: &mut Finder, tell: &mut impl FnMut(News)) {
        let mut round = Round::at(clock::monotonic_ns(), true);
        self.visit(&mut round, (pid, target), None, finder);
        self.tell_points(&mut round, tell);
    }

    /// A point of one process where it is time for it; whether there is one. `status`: what was just read of it.
    pub(super) fn visit(
        &mut self,
        round: &mut Round,
        (pid, target): (u32, TargetId),
        status: Option<Status>,
        finder: &mut Finder,
    ) -> bool {
        let now_ns = round.now_ns;
        let watched = self.watched.entry(pid).or_insert_with(|| Watched::new(pid, target));
        if watched.target != target {
            *watched = Watched::new(pid, target);
        }
        let room = watched.reader.directory().map(|at| self.rooms.of(at)).unwrap_or_default();
        let is_tight = room.is_below(self.pace.burst_percent)
            || room.ends_within(self.pace.burst_ns)
            || now_ns < watched.pressed_until_ns;
        if round.is_round || is_tight || !watched.has_point {
            // Only when there is a point: most ticks have none.
            self.instant.renew(now_ns);
            if let Some(point) = watched.reader.read(&mut self.instant, status, finder) {
                watched.has_point = true;
                let directory = watched.reader.directory().map(Path::to_path_buf);
                if let Some(at) = &directory {
                    self.rooms.limited(at, point.get(Signal::Limit), point.reclaimable_bytes());
                }
                let workload = watched.reader.moved(&self.facts);
                round.points.push(Taken { pid, target, point: Box::new(point), directory, workload });
            }
        }
        self.is_behind |= !watched.has_point;
        if !watched.is_attached && watched.reader.runtime().is_some() {
            watched.is_attached = true;
            self.walks.attach(pid);
        }
        if watched.wants_look(now_ns, is_tight || room.is_below(self.pace.look_percent)) {
            round.due.push((watched.looked_ns.unwrap_or(0), pid));
        }
        round.points.last().is_some_and(|taken| taken.pid == pid)
    }

    fn tell_points(&mut self, round: &mut Round, tell: &mut impl FnMut(News)) {
        self.sampling.points += round.points.len() as u64;
        for Taken { pid, target, mut point, directory, workload } in round.points.drain(..) {
            if let Some(at) = directory {
                self.instant.others(pid, &at, &mut point);
            }
            tell(News::Point(target, point));
            // Of whom there is a point.
            workload.into_iter().for_each(|workload| tell(News::Workload(target, Box::new(workload))));
        }
    }

    /// The memory of a process is short: more points for a while, and close looks in their turn.
    pub(super) fn pressed(&mut self, pid: u32, now_ns: u64) {
        if let Some(watched) = self.watched.get_mut(&pid) {
            watched.pressed_until_ns = now_ns + PRESSED_NS;
            self.pressed_until_ns = watched.pressed_until_ns;
        }
    }

    pub(super) fn look(&mut self, pid: u32, finder: &mut Finder, tell: &mut impl FnMut(News)) {
        if let Some(watched) = self.watched.get_mut(&pid) {
            self.sampling.looks += 1;
            tell(News::Closeup(Box::new(watched.look(pid, finder))));
        }
    }

    /// What the kernel logged since the last time.
    pub(super) fn tell_log(&mut self, tell: &mut impl FnMut(News)) {
        let lines = self.log.as_mut().map(Kmsg::lines).unwrap_or_default();
        lines.into_iter().for_each(|line| tell(News::KernelLine(line)));
    }

    /// What the kernel walked of a process that is being killed.
    pub(super) fn walk(&mut self, walk: &Walk, tell: &mut impl FnMut(News)) {
        let watched = self.watched.get(&walk.meta.tgid).filter(|watched| watched.target == walk.meta.target);
        if let Some(runtime) = watched.and_then(|watched| watched.reader.runtime())
            && let Some(state) = self.walks.take(walk, runtime)
        {
            tell(News::LastState(Box::new(state)));
        }
    }

    /// The account of a process's cgroup, as it was when the process was last seen; the process may be gone.
    pub(super) fn account(&self, pid: u32) -> Option<Account> {
        let directory = self.watched.get(&pid)?.reader.directory()?;
        Account::at(directory, &self.facts)
    }
}

impl Watched {
    fn new(pid: u32, target: TargetId) -> Self {
        Self {
            target,
            reader: PointReader::new(pid),
            has_point: false,
            looked_ns: None,
            next_look_ns: 0,
            pressed_until_ns: 0,
            is_attached: false,
        }
    }

    /// The first is what later ones are compared with.
    fn wants_look(&self, now_ns: u64, has_little_room: bool) -> bool {
        let Some(looked_ns) = self.looked_ns else { return true };
        now_ns >= self.next_look_ns && (has_little_room || now_ns.saturating_sub(looked_ns) >= LOOK_ANYWAY_NS)
    }

    fn look(&mut self, pid: u32, finder: &mut Finder) -> Closeup {
        let closeup = Closeup::take(pid, self.target, self.reader.runtime(), finder);
        let end_ns = clock::monotonic_ns();
        self.looked_ns = Some(end_ns);
        self.next_look_ns = end_ns + LOOK_NS.max(closeup.took_ns.saturating_mul(LOOK_COST));
        closeup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_came_late_are_counted() {
        let pace = Pace { round_ns: SECOND_NS, ..Pace::default() };
        let mut watcher = Watcher::new(CgroupFacts::default(), None, pace);
        let mut rounds = |t_ns: &[u64]| {
            t_ns.iter().for_each(|t_ns| {
                let is_round = watcher.is_round(*t_ns);
                let (finder, tell) = (&mut Finder::default(), &mut |_| {});
                let mut round = watcher.begin(*t_ns, is_round, 2, tell);
                for of in [(u32::MAX, 1), (u32::MAX - 1, 2)] {
                    watcher.visit(&mut round, of, None, finder);
                }
                watcher.end(round, finder, tell);
            });
            watcher.sampling()
        };
        // The first has none before it; a little early, or less than a whole one late, is none.
        let on_time =
            rounds(&[7 * SECOND_NS, 8 * SECOND_NS, 9 * SECOND_NS - SECOND_NS / 30, 10 * SECOND_NS + SECOND_NS / 2]);
        assert_eq!((on_time.points, on_time.thinned), (0, 0), "of processes that are not there nothing is taken");
        assert_eq!(rounds(&[13 * SECOND_NS + SECOND_NS / 2]).thinned, 4, "two rounds of two processes");
    }

    #[test]
    fn a_round_that_took_much_is_followed_by_a_long_rest() {
        let pace = |cpu_percent| Pace { cpu_percent, longest_ns: 10 * SECOND_NS, ..Pace::default() };
        assert_eq!((pace(None).owes_ns(SECOND_NS), pace(Some(5)).owes_ns(0)), (0, 0));
        assert_eq!(pace(Some(5)).owes_ns(SECOND_NS / 10), 2 * SECOND_NS, "100 ms are 5 % of 2 s");
        assert_eq!(pace(Some(1)).owes_ns(u64::MAX), 10 * SECOND_NS);
    }
}
