//! One death while it is being written down: what comes in, in any order, and the dossier that it makes.
use super::blackbox::Watched;
use super::{Anchor, Dossier, GoSaid, Lost, Source, Trigger};
use crate::aggregate::waterfall::Waterfall;
use crate::cgroup::Account;
use crate::diagnose::{Case, Cause, Growth, verdict};
use crate::enrich::{Closeup, LastState, Site};
use crate::event::{Extent, GoCounters, OomEvent, OomWhat, TargetId, WalkEnd};
use crate::goruntime::Sample;
use crate::snapshot::{KilledBy, ProcessSnapshot};
use crate::source::kmsg::KernelLine;
use crate::timeline::{Mark, MarkWhat, Point, Signal};
use std::collections::BTreeMap;

/// After the end of a process its last samples and the kernel's log line are waited for.
const SETTLE_NS: u64 = 500_000_000;
/// A victim that does not end is written down without its end.
const LIMIT_NS: u64 = 5_000_000_000;
/// The wall clock that Go dates collections by may be slewed by so much (adjtimex: 500 ppm).
const SLEW_PPM: u64 = 500;
const MILLION: u64 = 1_000_000;
/// Largest first.
const ROWS: usize = 12;
/// Between a reading of the charge and the kill there is always some growth.
const NEAR_LIMIT_PERCENT: u64 = 80;
/// So long before its death the victim may have stalled last.
const STALLED_NS: u64 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Open {
    pub(super) target: TargetId,
    trigger: Trigger,
    t_ns: u64,
    ended_ns: Option<u64>,
    marked_ns: Option<u64>,
    allocator_pid: Option<u32>,
    kernel: Vec<OomWhat>,
    counters: Option<GoCounters>,
    log: Vec<KernelLine>,
    account: Option<(u64, Account)>,
    words: Option<(u64, Sample)>,
    lost: Option<Lost>,
    said: Option<GoSaid>,
    address_space_limit_bytes: Option<u64>,
    state: Option<LastState>,
}

impl Open {
    pub(super) fn new(target: TargetId, trigger: Trigger, t_ns: u64) -> Self {
        Self {
            target,
            trigger,
            t_ns,
            ended_ns: None,
            marked_ns: None,
            allocator_pid: None,
            kernel: Vec::new(),
            counters: None,
            log: Vec::new(),
            account: None,
            words: None,
            lost: None,
            said: None,
            address_space_limit_bytes: None,
            state: None,
        }
    }

    /// Dated by the kernel's log where that tells of it, else when it was found to be gone.
    pub(super) fn lost(lost: Lost, log: Vec<KernelLine>) -> Self {
        let found_ns = lost.found_ns.unwrap_or(lost.saved_ns);
        let logged = log.last().map(|line| line.stamp_ns.clamp(lost.saved_ns, found_ns.max(lost.saved_ns)));
        Self { log, lost: Some(lost), ..Self::new(0, Trigger::Lost, logged.unwrap_or(found_ns)) }
    }

    pub(super) fn oom(&mut self, event: &OomEvent) {
        self.died(Trigger::Oom, event.meta.t_ns);
        self.t_ns = self.t_ns.min(event.meta.t_ns);
        self.allocator_pid.get_or_insert(event.allocator_tgid);
        self.counters = event.go.or(self.counters);
        if matches!(event.what, OomWhat::Victim { .. }) {
            self.marked_ns.get_or_insert(event.meta.t_ns);
        }
        // Threads of a victim that reach the limit again are marked again.
        let is_known = |what: &OomWhat| std::mem::discriminant(what) == std::mem::discriminant(&event.what);
        if !self.kernel.iter().any(is_known) {
            self.kernel.push(event.what.clone());
        }
    }

    /// One that was written down alive has died meanwhile: that is what is told.
    pub(super) fn died(&mut self, trigger: Trigger, t_ns: u64) {
        if self.trigger.is_of_the_living() {
            self.t_ns = t_ns;
        }
        if self.trigger.is_of_the_living() || trigger == Trigger::Oom {
            self.trigger = trigger;
        }
    }

    pub(super) fn ended(&mut self, t_ns: u64) {
        self.ended_ns = Some(t_ns);
    }

    pub(super) fn is_of_the_living(&self) -> bool {
        self.trigger.is_of_the_living() && self.ended_ns.is_none()
    }

    pub(super) fn account(&mut self, t_ns: u64, account: Account) {
        self.account.get_or_insert((t_ns.saturating_sub(self.t_ns), account));
    }

    pub(super) fn words(&mut self, t_ns: u64, sample: Sample) {
        self.words.get_or_insert((t_ns, sample));
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended_ns.is_some()
    }

    pub(super) fn address_space(&mut self, limit_bytes: u64) {
        self.address_space_limit_bytes = Some(limit_bytes);
    }

    pub(super) fn said(&mut self, said: GoSaid) {
        self.counters = self.counters.or(said.counters);
        self.said.get_or_insert(said);
    }

    pub(super) fn last_state(&mut self, state: LastState) {
        self.state.get_or_insert(state);
    }

    /// Newest first: one of each kind is its own, older ones are of others that had its pid.
    pub(super) fn line(&mut self, line: KernelLine) {
        if self.trigger == Trigger::Oom && !self.log.iter().any(|known| known.is_before == line.is_before) {
            self.log.insert(0, line);
        }
    }

    pub(super) fn is_complete_at(&self, t_ns: u64) -> bool {
        // What is read of the living now is on its way too.
        let end_ns = self.ended_ns.or(self.is_of_the_living().then_some(self.t_ns));
        end_ns.is_some_and(|end| t_ns >= end + SETTLE_NS) || t_ns >= self.t_ns + LIMIT_NS
    }

    pub(super) fn close(self, process: ProcessSnapshot, watched: Option<Watched>) -> Dossier {
        let Watched { timeline, marks, first, last, gaps, workload, .. } = watched.unwrap_or_default();
        let points: Vec<Point> = timeline.points().into_iter().filter(|point| point.t_ns <= self.t_ns).collect();
        let dropped_chunks = timeline.dropped_chunks();
        let (dropped_marks, marks) = (marks.dropped(), marks.all());
        let cause = self.cause(&process, &points, &marks);
        // What the kernel walked is newest, where it stands for all.
        let sites = |of: fn(&Closeup) -> Option<&[Site]>, all: fn(&LastState) -> Option<&[Site]>| {
            let newest = self.state.as_ref().and_then(all).or_else(|| last.as_ref().and_then(of));
            growth(first.as_ref().and_then(of), newest)
        };
        let heap = sites(|of| of.heap.as_deref(), LastState::all_heap);
        let goroutines = sites(|of| of.goroutines.as_deref(), LastState::all_goroutines);
        let before = first.as_ref().and_then(|of| of.waterfall.as_ref());
        let latest = last.as_ref().or(first.as_ref());
        let after = latest.and_then(|of| of.waterfall.as_ref());
        let mappings = growth(before.map(mappings).as_deref(), after.map(mappings).as_deref());
        let buckets: Vec<(String, u64)> = after.map(buckets).unwrap_or_default();
        let verdict = verdict(&Case {
            points: &points,
            cause,
            t_ns: self.t_ns,
            address_space_limit_bytes: self.address_space_limit_bytes,
            is_go: process.go.is_some(),
            go_version: process.go.as_ref().map(|go| go.version.as_str()),
            heap: &heap,
            goroutines: &goroutines,
            mappings: &mappings,
            buckets: &buckets,
        });
        Dossier {
            trigger: self.trigger,
            cause,
            t_ns: self.t_ns,
            exit: process.exit.clone(),
            allocator_pid: self.allocator_pid,
            anchors: self.anchors(&points),
            sources: self.sources(&points, latest),
            kernel: self.kernel,
            log: self.log,
            last_counters: self.counters,
            words: self.words,
            said: self.said,
            account: self.account,
            process,
            first,
            last,
            points,
            marks,
            dropped_marks,
            gaps,
            workload,
            lost: self.lost,
            dropped_chunks,
            heap,
            goroutines,
            mappings,
            verdict,
        }
    }

    /// The kernel's log says whose memory was short. Without it, what the victim last tried to reclaim from was: the
    /// kernel does so before it kills (mm/memcontrol.c, `try_charge_memcg`; mm/page_alloc.c, `__alloc_pages_slowpath`).
    /// And a cgroup that was nearly full was.
    fn cause(&self, process: &ProcessSnapshot, points: &[Point], marks: &[Mark]) -> Cause {
        match (self.trigger, process.exit.as_ref().and_then(|exit| exit.killed_by.as_ref())) {
            (Trigger::Oom, _) => {}
            (Trigger::Headroom | Trigger::Command, _) => return Cause::Headroom,
            (Trigger::Lost, _) if self.log.is_empty() => return Cause::Lost,
            (Trigger::Lost, _) => {}
            (Trigger::Kill, _) | (_, Some(KilledBy::Process { .. })) => return Cause::Killed,
            (Trigger::Fatal, _) => {
                let is_refused = self.said.as_ref().is_some_and(GoSaid::is_out_of_memory);
                return if is_refused { Cause::GoOutOfMemory } else { Cause::Fatal };
            }
            (Trigger::Exit, _) => return Cause::Exited,
        }
        if let Some(line) = self.log.iter().find(|line| line.is_before) {
            let is_of_cgroup = line.text.contains("CONSTRAINT_MEMCG");
            return if is_of_cgroup { Cause::CgroupOom } else { Cause::GlobalOom };
        }
        if let Some(line) = self.log.first() {
            return if line.text.starts_with("Memory cgroup") { Cause::CgroupOom } else { Cause::GlobalOom };
        }
        let stalled = marks.iter().rev().find_map(|mark| match &mark.what {
            MarkWhat::Reclaim(stalls) if self.t_ns.saturating_sub(mark.t_ns) < STALLED_NS => Some(stalls.memcg),
            _ => None,
        });
        if let Some(is_of_cgroup) = stalled {
            return if is_of_cgroup { Cause::CgroupOom } else { Cause::GlobalOom };
        }
        let is_near = points
            .last()
            .and_then(|last| Some(last.get(Signal::Charge)? >= last.get(Signal::Limit)? / 100 * NEAR_LIMIT_PERCENT));
        if is_near == Some(true) { Cause::CgroupOom } else { Cause::Oom }
    }

    fn anchors(&self, points: &[Point]) -> Vec<Anchor> {
        let anchor = |what, t_ns, uncertainty_ns| Anchor { what, t_ns, uncertainty_ns };
        // The clock is read in the probe: nothing lies between.
        let mut all = match (self.trigger, self.lost) {
            (_, Some(lost)) => self.anchors_of_lost(lost),
            (Trigger::Fatal, None) => Vec::new(),
            (Trigger::Exit, None) => vec![anchor("kernel: process exit", self.t_ns, 0)],
            (Trigger::Headroom, None) => vec![anchor("little was left of the limit", self.t_ns, 0)],
            (Trigger::Command, None) => vec![anchor("asked for", self.t_ns, 0)],
            (_, None) => vec![anchor("kernel: SIGKILL sent", self.t_ns, 0)],
        };
        all.extend(self.said.as_ref().map(|said| anchor("go: fatal error", said.t_ns, 0)));
        all.extend(self.marked_ns.map(|t_ns| anchor("kernel: victim marked", t_ns, 0)));
        all.extend(self.log_anchor().filter(|_| self.lost.is_none()));
        let is_exit = self.trigger == Trigger::Exit;
        all.extend(self.ended_ns.filter(|_| !is_exit).map(|t_ns| anchor("kernel: process exit", t_ns, 0)));
        all.extend(self.words.as_ref().map(|(t_ns, _)| anchor("runtime: statistics on its way out", *t_ns, 0)));
        if let Some(point) = points.iter().rev().find(|point| point.get(Signal::GcCycles).is_some()) {
            all.push(anchor("runtime: last statistics", point.t_ns, 0));
            all.extend(point.get(Signal::LastGc).map(|t_ns| {
                let slewed = point.t_ns.saturating_sub(t_ns) / MILLION * SLEW_PPM;
                anchor("go: last collection ended", t_ns, slewed.max(1000))
            }));
        }
        all.sort_by_key(|anchor| anchor.t_ns);
        all
    }

    /// It lived when it was last saved, and was gone when it was looked for. The log's clock is not compared with others.
    fn anchors_of_lost(&self, lost: Lost) -> Vec<Anchor> {
        let mut all = vec![Anchor { what: "memtrace: last saved", t_ns: lost.saved_ns, uncertainty_ns: 0 }];
        if let Some(found_ns) = lost.found_ns {
            let (what, t_ns) = match self.log.is_empty() {
                true => ("ended, some time between", lost.saved_ns.midpoint(found_ns)),
                false => ("kernel log: Killed process", self.t_ns),
            };
            let uncertainty_ns = t_ns.abs_diff(lost.saved_ns).max(t_ns.abs_diff(found_ns));
            all.push(Anchor { what, t_ns, uncertainty_ns });
            all.push(Anchor { what: "memtrace: found to be gone", t_ns: found_ns, uncertainty_ns: 0 });
        }
        all
    }

    /// The kernel logs one line before it kills and one after: its log's clock is off by no less and no more than fits.
    fn log_anchor(&self) -> Option<Anchor> {
        let stamp = |is_before| self.log.iter().find(|line| line.is_before == is_before).map(|line| line.stamp_ns);
        let (before, after) = (stamp(true)?, stamp(false)?);
        // In between, on that clock, lie the kill and the mark.
        let uncertainty_ns = after.checked_sub(before)?.div_ceil(2);
        let middle = self.marked_ns.unwrap_or(self.t_ns).midpoint(self.t_ns);
        Some(Anchor { what: "kernel log: Killed process", t_ns: middle + uncertainty_ns, uncertainty_ns })
    }

    fn sources(&self, points: &[Point], latest: Option<&Closeup>) -> Vec<Source> {
        let age = |t_ns: u64| self.t_ns.saturating_sub(t_ns);
        let newest = |of| points.iter().rev().find(|point| point.get(of).is_some()).map(|point| age(point.t_ns));
        let heap = latest.filter(|of| of.heap.is_some());
        let goroutines = latest.filter(|of| of.goroutines.is_some());
        let source = |name, age_ns| Source { name, age_ns, extent: None };
        let walked = |name, extent: fn(&WalkEnd) -> Extent, sites: fn(&LastState) -> Option<&[Site]>| Source {
            extent: self.state.as_ref().map(|state| extent(&state.end)),
            ..source(name, self.state.as_ref().and_then(sites).map(|_| 0))
        };
        let saved = self.lost.map(|lost| source("all of it, as last saved", Some(age(lost.saved_ns))));
        let sampled = [
            source("go counters, by the kernel at the kill", self.counters.map(|_| 0)),
            // After the signal, before the memory went.
            source("go statistics, by the kernel on its way out", self.words.as_ref().map(|_| 0)),
            walked("heap profile, by the kernel on its way out", |end| end.buckets, |state| state.heap.as_deref()),
            walked(
                "goroutines, by the kernel on its way out",
                |end| end.goroutines,
                |state| state.goroutines.as_deref(),
            ),
            source("go statistics, by sampling", newest(Signal::HeapInuse)),
            source("heap profile", heap.map(|of| age(of.t_ns))),
            source("goroutines", goroutines.map(|of| age(of.t_ns))),
            source("rss waterfall", latest.filter(|of| of.waterfall.is_some()).map(|of| age(of.t_ns))),
            source("cgroup account, by sampling", newest(Signal::Charge)),
        ];
        saved.into_iter().chain(sampled).collect()
    }
}

/// By what was in use last; what a first look does not list was too small for it.
fn growth(before: Option<&[Site]>, after: Option<&[Site]>) -> Vec<Growth> {
    let (Some(before), Some(after)) = (before.or(after), after.or(before)) else { return Vec::new() };
    let find = |name: &str| before.iter().find(|site| site.name == name);
    let mut rows: Vec<Growth> = after
        .iter()
        .map(|site| Growth {
            name: site.name.clone(),
            before_bytes: find(&site.name).map_or(0, |site| site.bytes),
            after_bytes: site.bytes,
            before_count: find(&site.name).map_or(0, |site| site.count),
            after_count: site.count,
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.after_bytes.saturating_sub(row.before_bytes)));
    rows.truncate(ROWS);
    rows
}

fn mappings(fall: &Waterfall) -> Vec<Site> {
    let mut sites: BTreeMap<&str, Site> = BTreeMap::new();
    for mapping in &fall.anonymous {
        let name = match (&mapping.creator, mapping.name.as_str()) {
            (Some(creator), _) => creator.as_str(),
            (None, "") => "(anonymous)",
            (None, name) => name,
        };
        let site = sites.entry(name).or_insert_with(|| Site { name: name.to_owned(), bytes: 0, count: 0 });
        site.bytes += mapping.bytes;
        site.count += 1;
    }
    sites.into_values().collect()
}

fn buckets(fall: &Waterfall) -> Vec<(String, u64)> {
    fall.buckets.iter().map(|bucket| (bucket.name.to_owned(), bucket.bytes)).collect()
}
