//! Why the memory ran out: the last minutes of a process to one of few patterns, with evidence; docs/verdicts.md has the rules.
mod advice;
mod evidence;
mod parts;
mod rules;
#[cfg(test)]
mod tests;

use crate::timeline::{Point, Signal};

macro_rules! patterns {
    ($($(#[$about:meta])* $pattern:ident $name:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Pattern {
            $($(#[$about])* $pattern,)*
        }

        impl Pattern {
            pub const ALL: &[Pattern] = &[$(Pattern::$pattern,)*];

            /// As in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Pattern::$pattern => $name,)* }
            }
        }
    };
}

patterns! {
    /// What collections find live grows.
    HeapLeak "heap_leak",
    GoroutineLeak "goroutine_leak",
    /// Live memory is flat; what is allocated between two collections goes beyond the limit.
    AllocationBurst "allocation_burst",
    /// GOMEMLIMIT near the live heap: collections without end.
    GcDeathSpiral "gc_death_spiral",
    /// Few live objects hold many spans.
    Fragmentation "fragmentation",
    /// Free in Go, not yet given back.
    RetainedIdle "retained_idle",
    /// Given back by Go, and resident again as parts of huge pages.
    ThpReinflation "thp_reinflation",
    /// Given back by MADV_FREE, and still resident.
    LazyFree "lazy_free",
    /// Anonymous memory that the Go runtime does not know: malloc, mmap.
    OffHeap "off_heap",
    PageCache "page_cache",
    /// tmpfs, memfd, shared anonymous memory.
    Shmem "shmem",
    /// Sockets, page tables, slab.
    KernelMemory "kernel_memory",
    /// Another process of the cgroup.
    Neighbour "neighbour",
    /// Steady, and more than the limit allows.
    LimitTooSmall "limit_too_small",
    /// The machine ran out, not the cgroup.
    NodeOom "node_oom",
    Unknown "unknown",
}

/// What ended it, or made one ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    CgroupOom,
    GlobalOom,
    /// One of these: which, nobody saw.
    Oom,
    /// By a signal from outside.
    Killed,
    /// A fatal error of the Go runtime, or a panic.
    Fatal,
    /// One of these: the kernel refused it memory.
    GoOutOfMemory,
    /// It lives: little is left, or a command asked.
    Headroom,
    Exited,
    /// Nobody saw.
    Lost,
}

impl Cause {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Cause::CgroupOom => "cgroup_oom",
            Cause::GlobalOom => "global_oom",
            Cause::Oom => "oom",
            Cause::Killed => "killed",
            Cause::Fatal => "fatal",
            Cause::GoOutOfMemory => "go_out_of_memory",
            Cause::Headroom => "headroom",
            Cause::Exited => "exited",
            Cause::Lost => "lost",
        }
    }
}

/// Of one call site, goroutine creator or mapping, since the first snapshot of the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// `pkg.func file.go:12`
    pub name: String,
    pub before_bytes: u64,
    pub after_bytes: u64,
    pub before_count: u64,
    pub after_count: u64,
}

/// All that is known of one death.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// Oldest first, up to the last one alive.
    pub points: &'a [Point],
    pub cause: Cause,
    /// Of death, or of asking.
    pub t_ns: u64,
    /// RLIMIT_AS, where there is one.
    pub address_space_limit_bytes: Option<u64>,
    pub is_go: bool,
    pub go_version: Option<&'a str>,
    pub heap: &'a [Growth],
    pub goroutines: &'a [Growth],
    pub mappings: &'a [Growth],
    /// The last RSS waterfall, by the names of `aggregate/waterfall`; may be empty.
    pub buckets: &'a [(String, u64)],
}

/// A fact that the verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub text: String,
    pub signal: Option<Signal>,
    pub t_ns: Option<u64>,
    pub value: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub pattern: Pattern,
    /// 0 to 1: how far the first is ahead of the second, and how much there was to see.
    pub confidence_ratio: f64,
    pub evidence: Vec<Evidence>,
    pub runner_up: Option<(Pattern, f64)>,
    /// What to change, to what value.
    pub advice: Vec<String>,
}

/// Below this no pattern is more likely than others.
const LEAST_SCORE: f64 = 0.25;
/// So many points show what grows.
const ENOUGH_POINTS: f64 = 6.0;
const FEWEST_POINTS: usize = 3;

/// Judges. Never fails: too little to see is `Pattern::Unknown`.
pub fn verdict(case: &Case<'_>) -> Verdict {
    let scores = rules::score(case);
    let of_parts = scores.as_ref().map(|scores| evidence::of(scores, case)).unwrap_or_default();
    let evidence = evidence::refused(case).into_iter().chain(of_parts).collect();
    let best = scores.as_ref().and_then(|scores| Some((*scores.ranked.first()?, *scores.ranked.get(1)?)));
    let (pattern, confidence_ratio, runner_up) = match (case.cause, best) {
        // The kernel says so itself.
        (Cause::GlobalOom, best) => (Pattern::NodeOom, 1.0, best.map(|(first, _)| first)),
        (_, Some((first, second)))
            if case.points.len() >= FEWEST_POINTS && first.1 >= LEAST_SCORE && is_near_limit(case) =>
        {
            let confidence_ratio = confidence(first.1, second.1, case);
            // As much less sure as it scored less.
            (first.0, confidence_ratio, Some((second.0, confidence_ratio * second.1 / first.1)))
        }
        (_, best) => (Pattern::Unknown, 0.0, best.map(|(first, _)| first)),
    };
    let runner_up = runner_up.filter(|(_, score)| *score > 0.0).map(|(pattern, score)| (pattern, score.min(1.0)));
    let of_pattern = advice::advise(pattern, scores.as_ref(), case);
    let advice = advice::if_refused(case).into_iter().chain(of_pattern).collect();
    Verdict { pattern, confidence_ratio, evidence, runner_up, advice }
}

/// The margin to the second, less where there was little to see or the last step was not seen.
fn confidence(first: f64, second: f64, case: &Case<'_>) -> f64 {
    let seen = (case.points.len() as f64 / ENOUGH_POINTS).min(1.0);
    let margin = ((first - second) / first).clamp(0.0, 1.0);
    (margin * seen * charged(case).unwrap_or(0.0).min(1.0)).clamp(0.0, 1.0)
}

/// Of the limit, at the last point that has an account.
fn charged(case: &Case<'_>) -> Option<f64> {
    let (charge, limit) = account(case)?;
    Some(charge as f64 / limit as f64)
}

/// Charge and limit, in bytes, as they were known last.
fn account(case: &Case<'_>) -> Option<(u64, u64)> {
    let of = |point: &Point| Some((point.get(Signal::Charge)?, point.get(Signal::Limit).filter(|limit| *limit > 0)?));
    case.points.iter().rev().find_map(of)
}

/// A process that was not killed by its limit may still have had nothing to do with it.
fn is_near_limit(case: &Case<'_>) -> bool {
    let needed = if case.cause == Cause::CgroupOom { 0.3 } else { 0.7 };
    charged(case).is_some_and(|charged| charged >= needed)
}
