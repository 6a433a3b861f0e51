//! What a cgroup or the host told of its memory, as a sentence.
use super::units::{clean_path, count, duration, maybe, size};
use crate::event::{Level, MemoryEvents, PressureTold, PressureWhat, Stalled};
use crate::snapshot::PressureSnapshot;
use crate::timeline::Stalls;
use std::path::Path;

/// Paths of pods are long; what tells them apart is at their end.
const PATH_COLUMNS: usize = 60;

/// `cgroup /a/b: at its limit 7 times, 1 OOM kill`.
pub(in crate::sink) fn told(told: &PressureTold) -> String {
    format!("{}: {}", who(told.cgroup.as_deref()), what(told))
}

/// `8 stalls of 12 ms to reclaim in its memory cgroup, 4.0 KiB reclaimed`.
pub(in crate::sink) fn stalls(of: &Stalls) -> String {
    let place = if of.memcg { "its memory cgroup" } else { "the host" };
    let (times, stall) = (count(of.times), duration(of.stall_ns));
    format!("{times} stalls of {stall} to reclaim in {place}, {} reclaimed", size(of.reclaimed_bytes))
}

/// All that was told of one cgroup, or of the host.
pub(super) fn all(of: &PressureSnapshot) -> String {
    let mut said: Vec<String> = vec![of_events(&of.events)];
    let levels = Level::ALL.into_iter().zip(of.levels).filter(|(_, n)| *n > 0);
    said.extend(levels.map(|(level, n)| format!("reclaim {}{}", level.name(), times(n))));
    said.extend(counted(of.out_of_memory, "out of memory"));
    said.extend(counted(of.threshold_passed, "passed its threshold"));
    let stalls = [(of.stalled_some_ns, "tasks"), (of.stalled_full_ns, "all tasks")];
    said.extend(stalls.iter().filter(|(ns, _)| *ns > 0).map(|(ns, who)| format!("{who} waited {}", duration(*ns))));
    if of.reclaim_stalls > 0 {
        let (stalls, ns) = (count(of.reclaim_stalls), duration(of.reclaim_stall_ns));
        said.push(format!("{stalls} reclaim stalls of {ns} for {}", size(of.reclaimed_bytes)));
    }
    said.retain(|text| !text.is_empty());
    format!("{}: {}", who(of.cgroup.as_deref()), said.join(", "))
}

fn who(cgroup: Option<&Path>) -> String {
    cgroup.map_or("host".to_owned(), |path| format!("cgroup {}", clean_path(&path.to_string_lossy(), PATH_COLUMNS)))
}

fn counted(n: u64, word: &str) -> Option<String> {
    (n > 0).then(|| format!("{word}{}", times(n)))
}

fn what(told: &PressureTold) -> String {
    let often = times(told.times);
    match &told.what {
        PressureWhat::Events(events) => of_events(events),
        PressureWhat::Level(Level::Low) => format!("memory is being reclaimed{often}"),
        PressureWhat::Level(Level::Medium) => format!("reclaim is hard (medium){often}"),
        PressureWhat::Level(Level::Critical) => format!("reclaim finds next to nothing (critical){often}"),
        PressureWhat::OutOfMemory => format!("out of memory{often}"),
        PressureWhat::Threshold { threshold_bytes, usage_bytes } => {
            let passed = match usage_bytes {
                Some(bytes) if bytes < threshold_bytes => format!("fell below {}", size(*threshold_bytes)),
                _ => format!("rose past {}", size(*threshold_bytes)),
            };
            format!("its charge {passed}{often}, now {}", maybe(*usage_bytes))
        }
        PressureWhat::Stall(stall) => of_stall(stall),
    }
}

fn of_events(events: &MemoryEvents) -> String {
    let words = [
        (events.low, "reclaimed though below memory.low"),
        (events.high, "slowed down at memory.high"),
        (events.max, "at its limit"),
        (events.oom, "out of memory"),
    ];
    let mut said: Vec<String> = words.iter().filter_map(|(n, word)| counted(*n, word)).collect();
    said.extend(Some(events.oom_kill).filter(|n| *n > 0).map(|n| format!("{n} OOM kills")));
    said.extend(Some(events.oom_group_kill).filter(|n| *n > 0).map(|n| format!("{n} as a group")));
    said.join(", ")
}

fn of_stall(stall: &Stalled) -> String {
    let who = if stall.is_full { "all tasks" } else { "tasks" };
    let how = if stall.is_polled { " (read once a second: there is no trigger)" } else { "" };
    let (threshold, window) = (duration(stall.threshold_ns), duration(stall.window_ns));
    format!(
        "{who} waited for memory, over {threshold} in {window}; {} since last told{how}",
        duration(stall.stalled_ns)
    )
}

fn times(n: u64) -> String {
    if n > 1 { format!(" {n} times") } else { String::new() }
}
