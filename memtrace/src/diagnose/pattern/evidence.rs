//! The facts behind a verdict, with their times.
use super::rules::{Scores, live_by_cycle};
use super::{Case, Cause, Evidence};
use crate::timeline::Signal;

const MIB: u64 = 1 << 20;
/// Parts smaller than this share of the limit are left out.
const SHARE: f64 = 0.05;

/// That the kernel refused Go memory, and at which limit as far as that is known.
pub(super) fn refused(case: &Case<'_>) -> Option<Evidence> {
    let limit = case.address_space_limit_bytes;
    let bound = limit.map_or(String::new(), |bytes| format!("; its address space may have {} MiB", bytes / MIB));
    (case.cause == Cause::GoOutOfMemory).then(|| Evidence {
        text: format!("the kernel refused the Go runtime memory{bound}"),
        signal: None,
        t_ns: Some(case.t_ns),
        value: limit,
    })
}

pub(super) fn of(scores: &Scores, case: &Case<'_>) -> Vec<Evidence> {
    let Some(last) = case.points.last() else { return Vec::new() };
    let t_ns = Some(last.t_ns);
    let mut parts: Vec<_> = scores.shares.iter().filter(|share| share.level as f64 >= SHARE * scores.limit).collect();
    parts.sort_by_key(|share| std::cmp::Reverse(share.level.max(share.growth)));
    let mut all: Vec<Evidence> = parts
        .iter()
        .map(|share| Evidence {
            text: format!(
                "{}: {} MiB, {:.0} % of the limit; grew by {} MiB over the later half of the window",
                share.part.name(),
                share.level / MIB,
                share.level as f64 * 100.0 / scores.limit,
                share.growth / MIB
            ),
            signal: Some(share.part.signal()),
            t_ns,
            value: Some(share.level),
        })
        .collect();
    let cycles = live_by_cycle(case.points);
    if let ([first, ..], Some(end)) = (cycles.as_slice(), cycles.last()) {
        all.push(Evidence {
            text: format!(
                "live after collection {}: {} MiB, after {}: {} MiB",
                first.0,
                first.1 / MIB,
                end.0,
                end.1 / MIB
            ),
            signal: Some(Signal::HeapLive),
            t_ns,
            value: Some(end.1),
        });
    }
    for (signal, what) in [(Signal::HeapGoal, "the collector aims at"), (Signal::Gomemlimit, "GOMEMLIMIT is")] {
        if let Some(value) = last.get(signal) {
            let text = format!("{what} {} MiB, the limit is {} MiB", value / MIB, scores.limit as u64 / MIB);
            all.push(Evidence { text, signal: Some(signal), t_ns, value: Some(value) });
        }
    }
    let ends = |signal| Some((case.points.iter().find_map(|point| point.get(signal))?, last.get(signal)?));
    if let Some((before, after)) = ends(Signal::Goroutines) {
        let text = format!("goroutines: {before}, then {after}");
        all.push(Evidence { text, signal: Some(Signal::Goroutines), t_ns, value: Some(after) });
    }
    all
}
