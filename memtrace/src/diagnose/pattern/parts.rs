//! What the limit was spent on, in parts that do not overlap: levels at the end, and growth over the later half.
use super::Case;
use crate::timeline::{Point, Signal};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Live,
    /// Allocated since the last collection, or not yet swept.
    Garbage,
    FreeSlots,
    Idle,
    Stacks,
    OffHeap,
    ReleasedThp,
    Lazy,
    Cache,
    Shmem,
    Kernel,
    Others,
}

impl Part {
    pub(super) const ALL: [Part; 12] = [
        Part::Live,
        Part::Garbage,
        Part::FreeSlots,
        Part::Idle,
        Part::Stacks,
        Part::OffHeap,
        Part::ReleasedThp,
        Part::Lazy,
        Part::Cache,
        Part::Shmem,
        Part::Kernel,
        Part::Others,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Part::Live => "live heap",
            Part::Garbage => "heap allocated since the last collection",
            Part::FreeSlots => "free slots in used spans",
            Part::Idle => "idle heap, not given back",
            Part::Stacks => "goroutine stacks",
            Part::OffHeap => "anonymous memory outside Go's heap",
            Part::ReleasedThp => "given back by Go, resident again",
            Part::Lazy => "given back by MADV_FREE, still resident",
            Part::Cache => "page cache that cannot be dropped",
            Part::Shmem => "shared memory and tmpfs",
            Part::Kernel => "kernel memory",
            Part::Others => "other processes",
        }
    }

    /// The signal that says most of it.
    pub(super) fn signal(self) -> Signal {
        match self {
            Part::Live => Signal::HeapLive,
            Part::Garbage => Signal::HeapAlloc,
            Part::FreeSlots => Signal::HeapInuse,
            Part::Idle => Signal::HeapIdle,
            Part::Stacks => Signal::StackInuse,
            Part::OffHeap => Signal::RssAnon,
            Part::ReleasedThp => Signal::HeapReleased,
            Part::Lazy => Signal::Lazy,
            Part::Cache => Signal::CgroupFile,
            Part::Shmem => Signal::CgroupShmem,
            Part::Kernel => Signal::CgroupKernel,
            Part::Others => Signal::OthersRss,
        }
    }
}

/// `None`: what it is made of is not known.
pub(super) fn bytes(point: &Point, part: Part, case: &Case<'_>) -> Option<u64> {
    let get = |signal| point.get(signal);
    let less = |more, fewer| Some(get(more)?.saturating_sub(get(fewer)?));
    match part {
        Part::Live => get(Signal::HeapLive).map(|live| live.min(get(Signal::HeapAlloc).unwrap_or(live))),
        Part::Garbage => less(Signal::HeapAlloc, Signal::HeapLive),
        Part::FreeSlots => less(Signal::HeapInuse, Signal::HeapAlloc),
        Part::Idle => less(Signal::HeapIdle, Signal::HeapReleased),
        Part::Stacks => get(Signal::StackInuse),
        Part::OffHeap => {
            Some(beyond_go(point, case)?.saturating_sub(released(point, case)).saturating_sub(lazy(point, case)))
        }
        Part::ReleasedThp => case.is_go.then(|| released(point, case)),
        Part::Lazy => Some(lazy(point, case)).filter(|bytes| *bytes > 0),
        Part::Cache => unevictable(point),
        Part::Shmem => get(Signal::CgroupShmem).or(get(Signal::RssShmem)),
        Part::Kernel => match (get(Signal::CgroupKernel), get(Signal::CgroupSock)) {
            (None, None) => None,
            (kernel, sock) => Some(kernel.unwrap_or(0).saturating_add(sock.unwrap_or(0))),
        },
        // What they share with tmpfs and the page cache is in those.
        Part::Others => match (get(Signal::CgroupAnon), get(Signal::RssAnon)) {
            (Some(all), Some(own)) => Some(get(Signal::OthersRss)?.min(all.saturating_sub(own))),
            _ => get(Signal::OthersRss),
        },
    }
}

/// Anonymous memory that is none of the runtime's.
fn beyond_go(point: &Point, case: &Case<'_>) -> Option<u64> {
    let anon = point.get(Signal::RssAnon)?;
    match point.get(Signal::MappedReady) {
        Some(ready) => Some(anon.saturating_sub(ready)),
        None => (!case.is_go).then_some(anon),
    }
}

fn bucket(case: &Case<'_>, name: &str) -> u64 {
    case.buckets.iter().find(|(known, _)| known == name).map_or(0, |(_, bytes)| *bytes)
}

fn lazy(point: &Point, case: &Case<'_>) -> u64 {
    let beyond = beyond_go(point, case).unwrap_or(0);
    point.get(Signal::Lazy).unwrap_or_else(|| bucket(case, "released_lazy_free")).min(beyond)
}

/// Of what lies beyond Go, as much as the waterfall has seen in huge pages that Go had given back.
fn released(point: &Point, case: &Case<'_>) -> u64 {
    let beyond = beyond_go(point, case).unwrap_or(0).saturating_sub(lazy(point, case));
    let seen = ["released_thp_reinflation", "released_unknown_cause"]
        .iter()
        .map(|name| bucket(case, name))
        .fold(0, u64::saturating_add);
    seen.min(point.get(Signal::HeapReleased).unwrap_or(0)).min(beyond)
}

/// Locked or otherwise off the lists that reclaim takes from.
fn unevictable(point: &Point) -> Option<u64> {
    let cache = point.get(Signal::CgroupFile)?.saturating_sub(point.get(Signal::CgroupShmem).unwrap_or(0));
    let lists = point.get(Signal::CgroupInactiveFile)?.saturating_add(point.get(Signal::CgroupActiveFile)?);
    Some(cache.saturating_sub(lists))
}

/// Of one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) part: Part,
    pub(super) level: u64,
    /// Over the later half of the window.
    pub(super) growth: u64,
}

/// Those that are known.
pub(super) fn shares(case: &Case<'_>) -> Vec<Share> {
    let later = later_half(case.points);
    let share = |part: Part| {
        let values: Vec<u64> = later.iter().filter_map(|point| bytes(point, part, case)).collect();
        let level = *values.last()?;
        // One odd reading at the beginning decides nothing.
        let before = median(values.get(..values.len().min(3))?)?.max(*values.first()?);
        Some(Share { part, level, growth: level.saturating_sub(before) })
    };
    Part::ALL.into_iter().filter_map(share).collect()
}

/// By time, since points lie closer where memory is short; at least three.
pub(super) fn later_half(points: &[Point]) -> &[Point] {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return points };
    let middle = first.t_ns + last.t_ns.saturating_sub(first.t_ns) / 2;
    let from = points.iter().position(|point| point.t_ns >= middle).unwrap_or(0);
    &points[from.min(points.len().saturating_sub(3))..]
}

pub(super) fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
