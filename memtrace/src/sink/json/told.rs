//! What a cgroup or the host told of its memory, in `memtrace.trace/1`, `memtrace.stat/1` and `memtrace.oom/1`.
use super::trace::HeapJson;
use crate::event::{Level, PressureTold, PressureWhat};
use crate::snapshot::{PressureSnapshot, ToldSnapshot};
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The fields of its kind beside `cgroup` (null: the host) and `times`.
pub(in crate::sink) fn pressure_detail(told: &PressureTold) -> Value {
    let mut detail = match told.what {
        PressureWhat::Events(events) => {
            events.named().into_iter().map(|(name, n)| (name.to_owned(), Value::from(n))).collect()
        }
        PressureWhat::Level(level) => json!({"level": level.name()}),
        PressureWhat::OutOfMemory => json!({}),
        PressureWhat::Threshold { threshold_bytes, usage_bytes } => {
            json!({"threshold_bytes": threshold_bytes, "usage_bytes": usage_bytes})
        }
        PressureWhat::Stall(stall) => json!({
            "stall": if stall.is_full { "full" } else { "some" },
            "stalled_ns": stall.stalled_ns,
            "threshold_ns": stall.threshold_ns,
            "window_ns": stall.window_ns,
            "polled": stall.is_polled,
        }),
    };
    detail["cgroup"] = told.cgroup.as_ref().map(|path| path.to_string_lossy()).into();
    detail["times"] = told.times.into();
    detail
}

/// Of one cgroup, or of the host.
#[derive(Serialize)]
pub(super) struct PressuresJson<'a> {
    cgroup: Option<Cow<'a, str>>,
    told: u64,
    events: BTreeMap<&'static str, u64>,
    level: BTreeMap<&'static str, u64>,
    out_of_memory: u64,
    threshold_passed: u64,
    stalled_some_ns: u64,
    stalled_full_ns: u64,
    reclaim_stalls: u64,
    reclaim_stall_ns: u64,
    reclaimed_bytes: u64,
    newest: Vec<ToldJson>,
}

#[derive(Serialize)]
struct ToldJson {
    t_ns: u64,
    op: &'static str,
    detail: Value,
    /// By pid.
    heap: BTreeMap<u32, HeapJson>,
}

impl<'a> PressuresJson<'a> {
    pub(super) fn of(of: &'a PressureSnapshot) -> Self {
        Self {
            cgroup: of.cgroup.as_ref().map(|path| path.to_string_lossy()),
            told: of.told,
            events: of.events.named().into_iter().collect(),
            level: Level::ALL.into_iter().map(Level::name).zip(of.levels).collect(),
            out_of_memory: of.out_of_memory,
            threshold_passed: of.threshold_passed,
            stalled_some_ns: of.stalled_some_ns,
            stalled_full_ns: of.stalled_full_ns,
            reclaim_stalls: of.reclaim_stalls,
            reclaim_stall_ns: of.reclaim_stall_ns,
            reclaimed_bytes: of.reclaimed_bytes,
            newest: of.newest.iter().map(ToldJson::of).collect(),
        }
    }
}

impl ToldJson {
    fn of(of: &ToldSnapshot) -> Self {
        Self {
            t_ns: of.told.t_ns,
            op: of.told.what.name(),
            detail: pressure_detail(&of.told),
            heap: of.heaps.iter().map(|(pid, go)| (*pid, HeapJson::of(go))).collect(),
        }
    }
}
