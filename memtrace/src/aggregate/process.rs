//! Everything remembered about one process.
use super::level::Level;
use super::waterfall::Waterfall;
use super::{ProcessInfo, refault};
use crate::event::{Event, GoCounters, OomEvent, ProcessSample, Refaults, TargetId, TaskEvent, TaskWhat};
use crate::snapshot::{ExitSnapshot, GoBuild, KilledBy};
use memtrace_common::sums::Sums;
use std::path::PathBuf;

/// A total that only grows, and what it was at the last tick.
#[derive(Clone, Debug)]
pub(super) struct Total<T> {
    pub(super) now: Option<T>,
    pub(super) at_tick: Option<T>,
}

impl<T> Default for Total<T> {
    fn default() -> Self {
        Self { now: None, at_tick: None }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) target: TargetId,
    pub(super) pid: Option<u32>,
    pub(super) start_time_ns: Option<u64>,
    pub(super) comm: Option<String>,
    pub(super) exe: Option<String>,
    pub(super) go: Option<GoBuild>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) interval: Level,
    pub(super) window: Level,
    pub(super) faults: Total<u64>,
    pub(super) unseen_faults: Total<u64>,
    pub(super) refaults: Total<Box<Refaults>>,
    /// What its calls that were not told one by one had come to when they were last added to the window; of those of an
    /// interval nobody asks.
    sums: Option<Box<Sums>>,
    pub(super) lazy_bytes: Option<u64>,
    /// VmHWM of the whole life; it says something about the window only once it has grown.
    hwm_bytes: Option<u64>,
    pub(super) oom_killed: bool,
    /// At the start and at the end.
    pub(super) waterfalls: [Option<Box<Waterfall>>; 2],
    status: Option<i32>,
    /// It has ended, and its status is not known.
    pub(super) is_gone: bool,
    killer: Option<(u32, String)>,
    pub(super) last_active_ns: u64,
    /// How many processes this stands for beside itself.
    pub(super) folded: u64,
    pub(super) folded_oom_killed: u64,
}

impl Process {
    pub(super) fn new(target: TargetId, pid: Option<u32>) -> Self {
        Self { target, pid, ..Self::default() }
    }

    pub(super) fn describe(&mut self, info: ProcessInfo) {
        self.pid = Some(info.pid);
        // /proc tells it in clock ticks, the kernel's records in ns: the first to come stays, since it is an identity.
        self.start_time_ns = self.start_time_ns.or(info.start_time_ns);
        self.comm = info.comm.or(self.comm.take());
        // Gone before it could be asked: not that of the program before.
        self.exe = info.exe;
        self.go = info.go;
    }

    pub(super) fn has_exited(&self) -> bool {
        self.status.is_some() || self.is_gone
    }

    /// Nothing more is expected of it: it may be folded.
    pub(super) fn is_over(&self) -> bool {
        self.has_exited() || self.target == 0
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Advise(e) => self.both(|level| level.apply_advise(e)),
            Event::Map(e) => self.both(|level| level.apply_map(e)),
            Event::Reclaim(e) => {
                self.both(|level| level.apply_reclaim(e.duration_ns));
                self.observe_go(e.meta.t_ns, e.go.as_ref());
            }
            Event::Oom(e) => self.apply_oom(e),
            Event::Task(e) => self.apply_task(e),
            Event::Words(e) => self.observe_go(e.meta.t_ns, e.go.as_ref()),
            Event::Fatal(e) => self.observe_go(e.meta.t_ns, e.go.as_ref()),
            Event::Pressure(e) => self.observe_go(e.meta.t_ns, e.go.as_ref()),
            Event::Sample(sample) => self.apply_sample(sample),
            Event::Walk(_) => {}
        }
    }

    /// Starts the next interval.
    pub(super) fn tick(&mut self) {
        self.interval = self.interval.next();
        self.faults.at_tick = self.faults.now;
        self.unseen_faults.at_tick = self.unseen_faults.now;
        self.refaults.at_tick = self.refaults.now.clone();
    }

    pub(super) fn exit(&self) -> Option<ExitSnapshot> {
        let Some(status) = self.status else {
            return self.is_gone.then_some(ExitSnapshot { code: None, signal: None, killed_by: None });
        };
        let signal = (status & 0x7f) as u8;
        let by_kill = signal == 9;
        let killed_by = match &self.killer {
            _ if by_kill && self.oom_killed => Some(KilledBy::Oom),
            Some((pid, comm)) if by_kill => Some(KilledBy::Process { pid: *pid, comm: comm.clone() }),
            _ => None,
        };
        let code = ((status >> 8) & 0xff) as u8;
        Some(ExitSnapshot { code: (signal == 0).then_some(code), signal: (signal != 0).then_some(signal), killed_by })
    }

    /// Takes over the sums of a process that is dropped.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.interval.absorb(&other.interval);
        self.window.absorb(&other.window);
        for (ours, theirs) in [(&mut self.faults, &other.faults), (&mut self.unseen_faults, &other.unseen_faults)] {
            super::ledger::add_known(&mut ours.now, theirs.now);
            super::ledger::add_known(&mut ours.at_tick, theirs.at_tick);
        }
        add_refaults(&mut self.refaults.now, other.refaults.now.as_deref());
        add_refaults(&mut self.refaults.at_tick, other.refaults.at_tick.as_deref());
        self.last_active_ns = self.last_active_ns.max(other.last_active_ns);
        self.folded += 1;
        self.folded_oom_killed += u64::from(other.oom_killed);
    }

    /// What came since the last tick.
    pub(super) fn refaults_in_interval(&self) -> Option<Refaults> {
        self.refaults.now.as_deref().map(|now| refault::since(now, self.refaults.at_tick.as_deref()))
    }

    fn both(&mut self, apply: impl Fn(&mut Level)) {
        apply(&mut self.interval);
        apply(&mut self.window);
    }

    fn observe_rss(&mut self, t_ns: u64, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.both(|level| level.rss.observe(t_ns, bytes));
        }
    }

    fn observe_go(&mut self, t_ns: u64, go: Option<&GoCounters>) {
        if let Some(go) = go {
            self.both(|level| level.heap.observe_counters(t_ns, go));
        }
    }

    fn apply_oom(&mut self, event: &OomEvent) {
        self.interval.active = true;
        self.oom_killed = true;
        self.observe_go(event.meta.t_ns, event.go.as_ref());
    }

    fn apply_task(&mut self, event: &TaskEvent) {
        self.interval.active = true;
        self.observe_go(event.meta.t_ns, event.go.as_ref());
        let comm = event.comm_text();
        match event.what {
            TaskWhat::Kill { sender_tgid, .. } => {
                self.killer = Some((sender_tgid, comm));
                return;
            }
            TaskWhat::Fork { .. } => {}
            TaskWhat::Exec { rss_bytes } => {
                self.observe_rss(event.meta.t_ns, rss_bytes);
                // another program: its predecessor's heap is gone, and its VmHWM starts at nothing
                self.both(|level| level.heap.end_before(event.meta.t_ns));
                self.lazy_bytes = None;
                self.hwm_bytes = Some(0);
            }
            TaskWhat::Exit { status, rss_bytes } => {
                self.observe_rss(event.meta.t_ns, rss_bytes);
                self.status = Some(status);
            }
        }
        if !comm.is_empty() {
            self.comm = Some(comm);
        }
        self.start_time_ns = self.start_time_ns.or(event.start_boottime_ns);
    }

    fn apply_sample(&mut self, sample: &ProcessSample) {
        self.observe_rss(sample.t_ns, sample.rss_bytes);
        if let Some(hwm) = sample.rss_peak_bytes {
            if self.hwm_bytes.is_some_and(|before| hwm > before) {
                self.both(|level| level.rss.raise(hwm));
            }
            self.hwm_bytes = self.hwm_bytes.max(Some(hwm));
        }
        if let Some(go) = sample.go {
            self.both(|level| level.heap.observe(sample.t_ns, go.inuse_bytes, go.idle_bytes, go.released_bytes));
        }
        self.lazy_bytes = sample.lazy_bytes.or(self.lazy_bytes);
        // The last figures of a process come by the ring, and may overtake a sample that was taken before.
        let is_newest = sample.faults >= self.faults.now;
        if let Some(faults) = sample.faults {
            self.interval.active |= self.faults.now.is_none_or(|before| faults > before);
            self.faults.now = self.faults.now.max(Some(faults));
        }
        if let Some(sums) = &sample.sums {
            let since = self.sums.as_ref().map_or(**sums, |before| sums.since(before));
            self.window.add(&since);
            self.sums = Some(sums.clone());
        }
        self.unseen_faults.now = self.unseen_faults.now.max(sample.unseen_faults);
        if let Some(refaults) = sample.refaults.as_ref().filter(|_| is_newest) {
            self.refaults.now = Some(Box::new(refaults.clone()));
        }
    }
}

fn add_refaults(into: &mut Option<Box<Refaults>>, other: Option<&Refaults>) {
    match (into, other) {
        (_, None) => {}
        (Some(into), Some(other)) => refault::add(into, other),
        (into, Some(other)) => *into = Some(Box::new(other.clone())),
    }
}
