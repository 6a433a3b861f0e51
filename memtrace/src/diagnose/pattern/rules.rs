//! A score for each pattern: shares of the limit, and of what grew. No bytes or seconds of any one program.
use super::parts::{Part, Share, later_half, median, shares};
use super::{Case, Pattern, account};
use crate::timeline::{Point, Signal};

/// Growth of so much of the limit over the later half is what killed; less counts in part.
const GROWTH_OF_LIMIT: f64 = 0.15;
/// A collection that frees less than this part of the live heap is run in vain.
const FUTILE: f64 = 0.15;
/// Live heap of so much of GOMEMLIMIT leaves no room to collect in.
const AT_GOMEMLIMIT: f64 = 0.7;
const LEAK_CYCLES: usize = 3;
const WASTE: [Part; 4] = [Part::FreeSlots, Part::Idle, Part::ReleasedThp, Part::Lazy];

pub(super) struct Scores {
    pub(super) shares: Vec<Share>,
    pub(super) limit: f64,
    /// Best first.
    pub(super) ranked: Vec<(Pattern, f64)>,
}

/// `None`: no limit or no charge is known.
pub(super) fn score(case: &Case<'_>) -> Option<Scores> {
    let (_, limit) = account(case)?;
    let limit = limit as f64;
    let shares = shares(case);
    let grown: f64 = shares.iter().map(|share| share.growth as f64).sum();
    let weight = (grown / (limit * GROWTH_OF_LIMIT)).min(1.0);
    let level = |part| of(&shares, part).map_or(0.0, |share| share.level as f64 / limit);
    let growth = |part| of(&shares, part).map_or(0.0, |share| share.growth as f64 / grown.max(1.0));
    let both = |part| weight * 0.6 * growth(part) + (1.0 - 0.6 * weight) * level(part);
    let heap = both(Part::Live) + both(Part::Garbage);
    let grows = live_grows(case.points, limit);
    // Most of the heap is newer than the last collection, and so is the later half: what of it lives is not known.
    let is_new = level(Part::Garbage) > 1.2 * level(Part::Live) && collections(later_half(case.points)) == 0;
    let is_unclear = is_new && (grows || collections(case.points) < 2);
    let leaks = grows && !is_unclear;
    let spiral = is_spiral(case.points);
    let goroutines = goroutines_grow(case.points) && growth(Part::Stacks) >= 0.2;
    let steady = if leaks || spiral || goroutines { 0.0 } else { 1.0 - weight };
    let working = level(Part::Live) + level(Part::Stacks) + level(Part::OffHeap);
    let is_small = working >= 0.5 && level(Part::Live) >= 2.0 * level(Part::Garbage);
    // What is allocated in passing may come and go; the less room is left for it, the more it is the limit's fault.
    let grown_by = |part| of(&shares, part).map_or(0.0, |share| share.growth as f64);
    // Nor does the last step out of a steady heap last.
    let sudden = if keeps_growing(case.points) { 0.0 } else { grown_by(Part::Live) };
    let lasting = grown - grown_by(Part::Garbage) - sudden;
    let calm = (1.0 - lasting / (limit * GROWTH_OF_LIMIT)).clamp(0.0, 1.0);
    let small = calm * working * (1.0 - weight * (1.0 - working).max(0.0));
    let if_so = |holds: bool, score: f64| if holds { score } else { 0.0 };
    // Held for nothing: it need not grow to be why there was no room for what grew.
    let needed =
        shares.iter().filter(|share| !WASTE.contains(&share.part)).map(|share| level(share.part)).fold(0.0, f64::max);
    let waste = |part| {
        let level = level(part);
        level * 1.2 + 0.6 * weight * level / (level + needed).max(f64::MIN_POSITIVE)
    };
    let mut ranked = vec![
        (
            Pattern::HeapLeak,
            if_so((grows || is_unclear) && !spiral, if goroutines || is_unclear { heap * 0.5 } else { heap }),
        ),
        (Pattern::GcDeathSpiral, if_so(spiral, heap)),
        (Pattern::GoroutineLeak, if_so(goroutines, both(Part::Stacks) + heap * 0.7)),
        (
            Pattern::AllocationBurst,
            if_so(
                !leaks && !spiral && !goroutines,
                heap * if is_small { weight * (1.0 - level(Part::Live)).max(0.0) } else { 1.0 },
            ),
        ),
        (Pattern::Fragmentation, waste(Part::FreeSlots)),
        (Pattern::RetainedIdle, waste(Part::Idle)),
        (Pattern::ThpReinflation, waste(Part::ReleasedThp)),
        (Pattern::LazyFree, waste(Part::Lazy)),
        (Pattern::OffHeap, both(Part::OffHeap) * (1.0 - steady)),
        (Pattern::PageCache, both(Part::Cache)),
        (Pattern::Shmem, both(Part::Shmem)),
        (Pattern::KernelMemory, both(Part::Kernel)),
        (Pattern::Neighbour, both(Part::Others)),
        (Pattern::LimitTooSmall, if_so(is_small && !leaks && !spiral && !goroutines, small)),
    ];
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    Some(Scores { shares, limit, ranked })
}

pub(super) fn of(shares: &[Share], part: Part) -> Option<&Share> {
    shares.iter().find(|share| share.part == part)
}

/// What each collection found live, in their order.
pub(super) fn live_by_cycle(points: &[Point]) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    for point in points {
        let (Some(cycle), Some(live)) = (point.get(Signal::GcCycles), point.get(Signal::HeapLive)) else { continue };
        match found.last_mut() {
            Some(last) if last.0 == cycle => last.1 = live,
            _ => found.push((cycle, live)),
        }
    }
    found
}

fn collections(points: &[Point]) -> u64 {
    let mut cycles = points.iter().filter_map(|point| point.get(Signal::GcCycles));
    cycles.next().map_or(0, |first| cycles.next_back().unwrap_or(first).saturating_sub(first))
}

/// Over several collections, most of them upwards, to the end, by a tenth of the limit.
fn live_grows(points: &[Point], limit: f64) -> bool {
    let cycles = live_by_cycle(points);
    if cycles.len() < LEAK_CYCLES {
        return false;
    }
    let upwards = cycles.windows(2).filter(|pair| pair[1].1 > pair[0].1).count();
    let later: Vec<u64> = cycles[cycles.len() / 2..].iter().map(|(_, live)| *live).collect();
    let earlier: Vec<u64> = cycles[..cycles.len() / 2].iter().map(|(_, live)| *live).collect();
    let (Some(before), Some(after)) = (median(&earlier), median(&later)) else { return false };
    let highest = cycles.iter().map(|(_, live)| *live).max().unwrap_or(0);
    let end = later.last().copied().unwrap_or(0);
    upwards * 3 >= (cycles.len() - 1) * 2
        && end as f64 >= 0.9 * highest as f64
        && after.saturating_sub(before) as f64 >= 0.1 * limit
        && keeps_growing(points)
}

/// In the later half too, and not in its last step alone: what made the limit too small comes last of all.
fn keeps_growing(points: &[Point]) -> bool {
    let recent: Vec<u64> = live_by_cycle(later_half(points)).iter().map(|(_, live)| *live).collect();
    let ([first, .., end], Some(middle)) = (recent.as_slice(), median(&recent)) else { return true };
    *end as f64 >= *first as f64 * 1.05 && (recent.len() < 3 || middle as f64 >= *first as f64 * 1.01)
}

/// Live at GOMEMLIMIT, and collections that follow each other for little.
fn is_spiral(points: &[Point]) -> bool {
    let later = later_half(points);
    let (Some(first), Some(last)) = (later.first(), later.last()) else { return false };
    let (Some(live), Some(gomemlimit)) = (last.get(Signal::HeapLive), last.get(Signal::Gomemlimit)) else {
        return false;
    };
    let between = |signal| Some(last.get(signal)?.saturating_sub(first.get(signal)?));
    let (Some(cycles), Some(allocated)) = (between(Signal::GcCycles), between(Signal::TotalAlloc)) else {
        return false;
    };
    live as f64 >= AT_GOMEMLIMIT * gomemlimit as f64
        && cycles >= 5
        && (allocated as f64) < FUTILE * live as f64 * cycles as f64
}

fn goroutines_grow(points: &[Point]) -> bool {
    let counts: Vec<u64> = later_half(points).iter().filter_map(|point| point.get(Signal::Goroutines)).collect();
    let upwards = counts.windows(2).filter(|pair| pair[1] >= pair[0]).count();
    match (counts.first(), counts.last()) {
        (Some(first), Some(last)) => {
            upwards * 4 >= (counts.len() - 1) * 3 && *last as f64 >= *first as f64 * 1.1 + 16.0
        }
        _ => false,
    }
}
