//! One point of a process's timeline: /proc, its Go runtime, its cgroup and the host, read together.
use super::instant::Instant;
use crate::cgroup::workload::Workload;
use crate::cgroup::{Account, names_of};
use crate::goruntime::{Finder, GoFigures, Runtime, Sample, Sampler};
use crate::host::mounts::CgroupFacts;
use crate::procfs::cgroup::parse_memberships;
use crate::procfs::clock::{ClockOffset, monotonic_ns};
use crate::procfs::kept::Kept;
use crate::procfs::process::Status;
use crate::timeline::{Point, Signal};
use std::path::{Path, PathBuf};

/// A runtime that is not there yet is looked for again at the 1st, 2nd, 4th, … point, so often at most.
const ATTACHES: u32 = 8;

/// Reads one process again and again.
#[derive(Debug)]
pub(super) struct PointReader {
    pid: u32,
    kept: Kept,
    go: Option<(Runtime, Sampler)>,
    /// Of the newest point.
    figures: Option<Box<GoFigures>>,
    points: u32,
    last_gc: LastGc,
    directory: Option<PathBuf>,
    own: Option<PathBuf>,
    /// /proc/PID/cgroup, when that was found there.
    places: Option<String>,
    is_moved: bool,
}

impl PointReader {
    pub(super) fn new(pid: u32) -> Self {
        Self {
            pid,
            kept: Kept::new(pid),
            go: None,
            figures: None,
            points: 0,
            last_gc: LastGc::default(),
            directory: None,
            own: None,
            places: None,
            is_moved: false,
        }
    }

    /// Of the memory cgroup whose limit it meets first, when it was last read.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// What it counts as, when that may have changed with its cgroup.
    pub(super) fn moved(&mut self, facts: &CgroupFacts) -> Option<Workload> {
        let own = self.own.as_ref().filter(|_| std::mem::take(&mut self.is_moved))?;
        let (place, names) = names_of(own, facts)?;
        Workload::of(&place, names.as_ref())
    }

    pub(super) fn figures(&self) -> Option<&GoFigures> {
        self.figures.as_deref()
    }

    pub(super) fn runtime(&self) -> Option<&Runtime> {
        self.go.as_ref().map(|(runtime, _)| runtime)
    }

    /// `None`: it has no memory any more. `status`: as it was just read.
    pub(super) fn read(&mut self, now: &mut Instant, status: Option<Status>, finder: &mut Finder) -> Option<Point> {
        self.figures = None;
        let status = status.or_else(|| Status::read(self.pid).ok())?;
        let rss = status.rss_bytes()?;
        now.rss.insert(self.pid, Some(rss));
        let mut point = Point::at(now.t_ns);
        point.set(Signal::Rss, rss);
        point.set(Signal::RssAnon, status.rss_anon_bytes);
        point.set(Signal::RssFile, status.rss_file_bytes);
        point.set(Signal::RssShmem, status.rss_shmem_bytes);
        point.set(Signal::Swap, status.swap_bytes);
        point.set(Signal::Threads, u64::from(status.threads));
        let sample = self.sample(finder);
        self.figures = sample.as_ref().map(|sample| Box::new(GoFigures::from(sample)));
        if let Some(sample) = sample {
            go(&mut point, &sample);
            point.set(Signal::LastGc, self.last_gc.at(sample.memstats.last_gc, [now.t_ns, monotonic_ns()], now.wall));
        }
        let places = self.kept.places().ok();
        let own = match &places {
            _ if places == self.places => self.own.clone(),
            Some(text) => now.facts.memory_directory(&parse_memberships(text)),
            None => None,
        };
        // A process that has begun to die since is in no cgroup, or in the first of all.
        if own != self.own && Status::read(self.pid).ok()?.rss_bytes().is_none() {
            return None;
        }
        let has_moved = own != self.own;
        if has_moved {
            self.is_moved = true;
            [&own, &self.own, &self.directory].into_iter().flatten().for_each(|directory| now.moved(directory));
        }
        self.places = places;
        self.own.clone_from(&own);
        self.directory = own.map(|own| now.limiting(own));
        // Its own has just been read anew.
        if has_moved && self.directory != self.own {
            self.directory.iter().for_each(|directory| now.moved(directory));
        }
        let mut pressure = now.pressure;
        if let Some(account) = self.directory.as_ref().and_then(|directory| now.account(directory)) {
            pressure = account.pressure.or(pressure);
            charged(&mut point, account);
        }
        point.set(Signal::PressureSome, pressure.map(|pressure| pressure.some.total_ns));
        point.set(Signal::PressureFull, pressure.and_then(|pressure| pressure.full).map(|full| full.total_ns));
        point.set(Signal::HostAvailable, now.memory.map(|(available, _)| available));
        point.set(Signal::HostTotal, now.memory.map(|(_, total)| total));
        Some(point)
    }

    fn sample(&mut self, finder: &mut Finder) -> Option<Sample> {
        self.points = self.points.saturating_add(1);
        if self.go.is_none() && self.points.is_power_of_two() && self.points < 1 << ATTACHES {
            let found = finder.find(self.pid).ok()?;
            let runtime = Runtime::attach_to(self.pid, &found).ok()?;
            let sampler = runtime.sampler().ok()?.without_pauses(&runtime);
            self.go = Some((runtime, sampler));
        }
        let (runtime, sampler) = self.go.as_mut()?;
        sampler.sample(runtime).ok()
    }
}

fn go(point: &mut Point, sample: &Sample) {
    const PPM: f64 = 1e6;
    let of = &sample.memstats;
    point.set(Signal::HeapInuse, of.heap_inuse);
    point.set(Signal::HeapIdle, of.heap_idle);
    point.set(Signal::HeapReleased, of.heap_released);
    point.set(Signal::HeapAlloc, of.heap_alloc);
    point.set(Signal::HeapLive, sample.heap_marked);
    // Without a goal it is the largest number there is.
    point.set(Signal::HeapGoal, Some(of.next_gc).filter(|goal| *goal < 1 << 62));
    point.set(Signal::StackInuse, of.stack_inuse);
    point.set(Signal::MappedReady, sample.mapped_ready);
    point.set(Signal::Gomemlimit, sample.gomemlimit_bytes);
    point.set(Signal::GogcPercent, sample.gogc_percent.map(u64::from));
    point.set(Signal::Goroutines, sample.num_goroutine);
    point.set(Signal::GcCycles, u64::from(of.num_gc));
    point.set(Signal::TotalAlloc, of.total_alloc);
    point.set(Signal::GcCpuPpm, (of.num_gc > 0).then_some((of.gc_cpu_fraction.clamp(0.0, 1.0) * PPM) as u64));
}

/// When the last collection ended. Go dates it by the wall clock, which may have been set since: it is converted once, when
/// it is first read, and is absent where that was too late.
#[derive(Clone, Copy, Debug, Default)]
struct LastGc {
    wall_ns: u64,
    at_ns: Option<u64>,
    /// Of the point before.
    t_ns: u64,
}

impl LastGc {
    /// Between two points a wall clock that is only slewed goes wrong by less.
    const SLACK_NS: u64 = 10_000_000;

    /// Of a point, and when it was read.
    fn at(&mut self, wall_ns: u64, [t_ns, read_ns]: [u64; 2], wall: ClockOffset) -> Option<u64> {
        if wall_ns != self.wall_ns {
            // It has ended since the point before.
            let possible = self.t_ns.saturating_sub(Self::SLACK_NS)..=read_ns.saturating_add(Self::SLACK_NS);
            let at_ns = Some(wall.to_monotonic(wall_ns)).filter(|at| wall_ns > 0 && possible.contains(at));
            (self.wall_ns, self.at_ns) = (wall_ns, at_ns);
        }
        self.t_ns = t_ns;
        self.at_ns
    }
}

fn charged(point: &mut Point, of: &Account) {
    for (signal, value) in [
        (Signal::Charge, of.charge_bytes),
        (Signal::Limit, of.effective_limit_bytes),
        (Signal::CgroupAnon, of.anon_bytes),
        (Signal::CgroupFile, of.file_bytes),
        (Signal::CgroupShmem, of.shmem_bytes),
        (Signal::CgroupInactiveFile, of.inactive_file_bytes),
        (Signal::CgroupActiveFile, of.active_file_bytes),
        (Signal::CgroupKernel, of.kernel_bytes),
        (Signal::CgroupSlabReclaimable, of.slab_reclaimable_bytes),
        (Signal::CgroupPageTables, of.page_tables_bytes),
        (Signal::CgroupSock, of.sock_bytes),
        (Signal::CgroupSwap, of.swap_bytes),
        (Signal::LimitHits, of.limit_hits),
        (Signal::OomKills, of.oom_kills),
    ] {
        point.set(signal, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_collection_keeps_its_time_when_the_clock_is_set_and_has_none_where_that_came_first() {
        let wall = |hours: i64| ClockOffset { offset_ns: (2 + hours) * 3600 * S as i64, uncertainty_ns: 1 };
        let on_wall = |hours: i64, t_ns: u64| wall(hours).from_monotonic(t_ns);
        let mut last_gc = LastGc::default();
        assert_eq!(last_gc.at(0, [10 * S; 2], wall(0)), None, "there was none");
        let first = on_wall(0, 10 * S + 5);
        for (t_ns, hours) in [(11 * S, 0), (12 * S, 1), (13 * S, -1)] {
            assert_eq!(last_gc.at(first, [t_ns; 2], wall(hours)), Some(10 * S + 5));
        }
        assert_eq!(last_gc.at(on_wall(-1, 13 * S + 7), [14 * S; 2], wall(-1)), Some(13 * S + 7));
        // Set between the end of the collection and the point that reads of it.
        assert_eq!(last_gc.at(on_wall(-1, 14 * S + 7), [15 * S; 2], wall(0)), None, "an hour before the point before");
        assert_eq!(last_gc.at(on_wall(0, 15 * S + 7), [16 * S; 2], wall(-1)), None, "an hour to come");
    }
}
