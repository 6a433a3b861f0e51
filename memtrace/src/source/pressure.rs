//! Waits for what a memory cgroup, or the host, tells of its memory. A task for each thing that is waited for: it reads what has
//! changed, tells it, and then rests, so that nothing is told more often than that; what comes meanwhile is in the next.
use crate::cgroup::notify::{self, EventsFile};
use crate::event::{Level, PressureTold, PressureWhat, Stalled};
use crate::procfs::clock;
use crate::procfs::psi::{self, Pressure, StallTrigger};
use rustix::io::read;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::sleep;

const NS_PER_US: u64 = 1000;
/// Nothing is told more often.
const REST: Duration = Duration::from_millis(100);
/// Where there is no trigger the total is read so often.
const POLL: Duration = Duration::from_secs(1);
/// The kernel tells the levels one after the other: in so long it has told them all.
const LEVELS: Duration = Duration::from_millis(1);

/// What is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PressureConfig {
    /// Of the host, and of each cgroup of version 2.
    pub stalls: Vec<StallTrigger>,
    /// Of the limit of a cgroup of version 1.
    pub threshold_percent: u64,
    /// Descriptors that are open at once.
    pub max_descriptors: usize,
}

impl Default for PressureConfig {
    fn default() -> Self {
        let stall = |is_full, threshold_us| StallTrigger { is_full, threshold_us, window_us: 1_000_000 };
        Self { stalls: vec![stall(false, 100_000), stall(true, 50_000)], threshold_percent: 90, max_descriptors: 512 }
    }
}

/// Everything that is waited for of one cgroup, or of the host; until it is dropped.
#[derive(Debug)]
pub struct Watch {
    tasks: JoinSet<()>,
    /// What cannot be waited for, and why.
    pub refused: Vec<(&'static str, io::Error)>,
}

/// Who is told, and of whom.
#[derive(Clone, Debug)]
pub struct Teller {
    pub to: Sender<PressureTold>,
    /// `None`: the host.
    pub cgroup: Option<Arc<Path>>,
}

impl Watch {
    pub fn host(config: &PressureConfig, to: Sender<PressureTold>) -> Watch {
        let mut watch = Watch { tasks: JoinSet::new(), refused: Vec::new() };
        watch.stalls(config, Path::new(psi::HOST), psi::HOST, &Teller { to, cgroup: None });
        watch
    }

    /// `below`: with what happens in the cgroups below it, where they are told apart.
    pub fn cgroup(
        directory: Arc<Path>,
        version: u8,
        below: bool,
        config: &PressureConfig,
        to: Sender<PressureTold>,
    ) -> Watch {
        let mut watch = Watch { tasks: JoinSet::new(), refused: Vec::new() };
        let teller = Teller { to, cgroup: Some(directory.clone()) };
        if version == 1 {
            watch.version_1(&directory, config, &teller);
        } else {
            watch.version_2(&directory, below, config, &teller);
        }
        watch
    }

    /// As many descriptors are open, at most.
    pub fn descriptors(&self) -> usize {
        // One task has all of the levels; that of memory.events has two.
        self.tasks.len() + Level::ALL.len() - 1
    }

    fn version_2(&mut self, directory: &Path, below: bool, config: &PressureConfig, teller: &Teller) {
        let opened = EventsFile::open(directory, below).and_then(|file| Ok((watched(file.descriptor()?, true)?, file)));
        if let Some((fd, file)) = self.accepted("memory.events", opened) {
            self.tasks.spawn(events(fd, file, teller.clone()));
        }
        self.stalls(config, &directory.join(notify::PRESSURE), notify::PRESSURE, teller);
    }

    fn version_1(&mut self, directory: &Path, config: &PressureConfig, teller: &Teller) {
        let level = |level| notify::register_level(directory, level).and_then(|fd| watched(fd, false));
        let levels: io::Result<Vec<_>> = Level::ALL.into_iter().map(level).collect();
        if let Some(levels) = self.accepted("memory.pressure_level", levels) {
            self.tasks.spawn(level_told(levels, teller.clone()));
        }
        let oom = notify::register_oom(directory).and_then(|fd| watched(fd, false));
        if let Some(fd) = self.accepted("memory.oom_control", oom) {
            self.tasks.spawn(out_of_memory(fd, teller.clone()));
        }
        let Some(limit_bytes) = notify::limit_of(directory, 1) else { return };
        let bytes = limit_bytes / 100 * config.threshold_percent;
        let threshold = notify::register_threshold(directory, bytes).and_then(|fd| watched(fd, false));
        if let Some(fd) = self.accepted("memory.usage_in_bytes", threshold) {
            self.tasks.spawn(threshold_passed(fd, directory.to_path_buf(), bytes, teller.clone()));
        }
    }

    fn stalls(&mut self, config: &PressureConfig, path: &Path, name: &'static str, teller: &Teller) {
        for trigger in &config.stalls {
            let Some(before) = Pressure::read(path) else { return };
            let stall = Stall { path: path.to_path_buf(), trigger: *trigger, told_ns: total_ns(&before, *trigger) };
            let armed = trigger.arm(path).and_then(|(file, accepted)| Ok((watched(file.into(), true)?, accepted)));
            match armed {
                Ok((fd, accepted)) => {
                    self.tasks.spawn(stalled(fd, Stall { trigger: accepted, ..stall }, teller.clone()));
                }
                Err(why) => {
                    self.refused.push((name, why));
                    self.tasks.spawn(polled(stall, teller.clone()));
                }
            }
        }
    }

    fn accepted<T>(&mut self, name: &'static str, result: io::Result<T>) -> Option<T> {
        result.map_err(|why| self.refused.push((name, why))).ok()
    }
}

impl Teller {
    /// False: nobody listens any more.
    async fn tell(&self, what: PressureWhat, times: u64) -> bool {
        let told = PressureTold { t_ns: clock::monotonic_ns(), cgroup: self.cgroup.clone(), what, times };
        let heard = self.to.send(told).await.is_ok();
        sleep(REST).await;
        heard
    }

    /// An eventfd of version 1 is told of the end of the cgroup too.
    fn is_gone(&self) -> bool {
        self.cgroup.as_ref().is_some_and(|directory| !directory.exists())
    }
}

type Fd = AsyncFd<OwnedFd>;

#[expect(deprecated, reason = "its unsafe successor is for types whose fd may change; an OwnedFd's does not")]
fn watched(fd: OwnedFd, has_priority: bool) -> io::Result<Fd> {
    AsyncFd::with_interest(fd, if has_priority { Interest::PRIORITY } else { Interest::READABLE })
}

async fn priority(fd: &Fd) -> io::Result<()> {
    fd.ready(Interest::PRIORITY).await?.clear_ready();
    Ok(())
}

async fn events(fd: Fd, mut file: EventsFile, teller: Teller) {
    let Ok(mut seen) = file.read() else { return };
    while priority(&fd).await.is_ok() {
        let Ok(now) = file.read() else { return };
        let grown = now.since(&seen);
        seen = now;
        if !grown.is_none() && !teller.tell(PressureWhat::Events(grown), 1).await {
            return;
        }
    }
}

/// How often an eventfd was told, since the last time; waits for the first.
async fn counted(fd: &Fd) -> io::Result<u64> {
    loop {
        let mut ready = fd.readable().await?;
        if let Ok(count) = ready.try_io(count) {
            return count;
        }
    }
}

fn count(fd: &Fd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    read(fd.get_ref(), &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A level tells the lower ones too: the lowest is waited for.
async fn level_told(levels: Vec<Fd>, teller: Teller) {
    let Some(lowest) = levels.first() else { return };
    while let Ok(times) = counted(lowest).await {
        if teller.is_gone() {
            return;
        }
        sleep(LEVELS).await;
        let told: Vec<Level> =
            Level::ALL.into_iter().zip(&levels).skip(1).filter(|(_, fd)| count(fd).is_ok()).map(|(of, _)| of).collect();
        let highest = told.last().copied().unwrap_or(Level::Low);
        if !teller.tell(PressureWhat::Level(highest), times).await {
            return;
        }
    }
}

async fn out_of_memory(fd: Fd, teller: Teller) {
    while let Ok(times) = counted(&fd).await {
        if teller.is_gone() || !teller.tell(PressureWhat::OutOfMemory, times).await {
            return;
        }
    }
}

async fn threshold_passed(fd: Fd, directory: PathBuf, threshold_bytes: u64, teller: Teller) {
    while let Ok(times) = counted(&fd).await {
        if teller.is_gone() {
            return;
        }
        let usage_bytes = crate::cgroup::Charge::open(&directory, 1).and_then(|charge| charge.read());
        if !teller.tell(PressureWhat::Threshold { threshold_bytes, usage_bytes }, times).await {
            return;
        }
    }
}

/// One line of a pressure file, and how much of its total has been told.
#[derive(Debug)]
struct Stall {
    path: PathBuf,
    trigger: StallTrigger,
    told_ns: u64,
}

impl Stall {
    /// `None`: the cgroup is gone.
    fn read(&mut self, is_polled: bool) -> Option<Stalled> {
        let now_ns = total_ns(&Pressure::read(&self.path)?, self.trigger);
        let stalled_ns = now_ns.saturating_sub(self.told_ns);
        self.told_ns = now_ns;
        Some(Stalled {
            is_full: self.trigger.is_full,
            threshold_ns: self.trigger.threshold_us * NS_PER_US,
            window_ns: self.trigger.window_us * NS_PER_US,
            stalled_ns,
            is_polled,
        })
    }
}

fn total_ns(pressure: &Pressure, trigger: StallTrigger) -> u64 {
    let full = pressure.full.as_ref().filter(|_| trigger.is_full);
    full.unwrap_or(&pressure.some).total_ns
}

async fn stalled(fd: Fd, mut stall: Stall, teller: Teller) {
    while priority(&fd).await.is_ok() {
        let Some(what) = stall.read(false) else { return };
        // The first time it may be awake without having been told.
        if what.stalled_ns > 0 && !teller.tell(PressureWhat::Stall(what), 1).await {
            return;
        }
    }
}

/// The share of the window that would trigger counts for what is read too.
async fn polled(mut stall: Stall, teller: Teller) {
    loop {
        sleep(POLL).await;
        let Some(what) = stall.read(true) else { return };
        let share = u128::from(what.stalled_ns) * u128::from(what.window_ns);
        let least = u128::from(what.threshold_ns) * POLL.as_nanos();
        if share >= least && !teller.tell(PressureWhat::Stall(what), 1).await {
            return;
        }
    }
}
