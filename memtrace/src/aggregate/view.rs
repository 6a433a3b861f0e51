//! A process's state as an immutable snapshot, with everything that is derived from it.
use super::ledger::gives_back;
use super::level::{Level, OTHER_ADVICE};
use super::process::{Process, Total};
use super::refault;
use crate::event::Refaults;
use crate::snapshot::{CallSnapshot, ProcessSnapshot, ReturnedBy, SnapshotKind};
use memtrace_common::advice;

pub(super) fn view(process: &Process, kind: SnapshotKind) -> ProcessSnapshot {
    let (level, refaults) = match kind {
        SnapshotKind::Summary => (&process.window, process.refaults.now.as_deref().cloned()),
        SnapshotKind::Interval => (&process.interval, process.refaults_in_interval()),
    };
    let counted = |of: &Total<u64>| match kind {
        SnapshotKind::Summary => of.now,
        SnapshotKind::Interval => of.now.map(|now| now.saturating_sub(of.at_tick.unwrap_or(0))),
    };
    let returned = Returned::of(level);
    let refaulted_bytes = refaults.as_ref().map(refault::total_bytes);
    let rss = level.rss.snapshot();
    let heap = level.heap.snapshot();
    let retained = heap.and_then(|h| Some(h.idle.end_bytes?.saturating_sub(h.released.end_bytes?)));
    let gap = heap.and_then(|h| Some(i128::from(rss.end_bytes?) - i128::from(h.inuse.end_bytes?)));
    let mut out = ProcessSnapshot {
        target: process.target,
        pid: process.pid,
        start_time_ns: process.start_time_ns,
        comm: process.comm.clone(),
        exe: process.exe.clone(),
        cgroup: process.cgroup.clone(),
        go: process.go.clone(),
        processes: if process.folded > 0 { process.folded } else { 1 },
        advise: advise_rows(level, refaults.as_ref()),
        // an unmapped range cannot be touched again
        munmap: level.munmap.snapshot(refaults.as_ref().map(|_| 0)),
        mmap: level.mmap.snapshot(),
        mremap: level.mremap.snapshot(),
        brk: level.brk.snapshot(),
        returned_bytes: returned.bytes,
        returned_by: returned.by,
        refaulted_bytes,
        untracked_bytes: refaults.as_ref().map(|r| r.untracked_bytes),
        kept_bytes: returned.bytes.zip(refaulted_bytes).map(|(returned, back)| returned.saturating_sub(back)),
        lazy_bytes: process.lazy_bytes,
        reinflated_bytes: reinflated_bytes(process).filter(|_| kind == SnapshotKind::Summary),
        effectiveness_ratio: returned.effectiveness_ratio,
        time_to_refault: refaults.as_ref().map(refault::time_to_refault),
        rss,
        heap,
        retained_idle_bytes: retained,
        gap_bytes: gap.map(|gap| gap.clamp(i64::MIN.into(), i64::MAX.into()) as i64),
        faults: counted(&process.faults),
        unseen_faults: counted(&process.unseen_faults),
        reclaim_stalls: level.reclaim_stalls,
        reclaim_stall_ns: level.reclaim_stall_ns,
        oom_killed: process.oom_killed || process.folded_oom_killed > 0,
        exit: process.exit(),
        waterfalls: match kind {
            SnapshotKind::Summary => process.waterfalls.clone(),
            SnapshotKind::Interval => [None, None],
        },
        notes: Vec::new(),
    };
    out.notes = notes(&out, process, level);
    out
}

/// What a timeline keeps of a process, since the start of the window: all of it is made too often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub lazy_bytes: Option<u64>,
    pub returned_bytes: Option<u64>,
    pub refaulted_bytes: Option<u64>,
    pub faults: Option<u64>,
    pub reclaim_stall_ns: u64,
}

pub(super) fn figures(process: &Process) -> Figures {
    Figures {
        lazy_bytes: process.lazy_bytes,
        returned_bytes: Returned::of(&process.window).bytes,
        refaulted_bytes: process.refaults.now.as_deref().map(refault::total_bytes),
        faults: process.faults.now,
        reclaim_stall_ns: process.window.reclaim_stall_ns,
    }
}

/// By how much what Go gave back is in memory again with huge pages.
fn reinflated_bytes(process: &Process) -> Option<u64> {
    let [start, end] = process.waterfalls.each_ref().map(|fall| fall.as_ref().map(|fall| fall.reinflated_bytes()));
    Some(end?.saturating_sub(start?))
}

struct Returned {
    bytes: Option<u64>,
    by: Option<ReturnedBy>,
    effectiveness_ratio: Option<f64>,
}

impl Returned {
    fn of(level: &Level) -> Self {
        let (mut bytes, mut of_calls) = (None, false);
        let (mut by_freed, mut by_unmapped) = (0, 0);
        let (mut effective, mut effective_of) = (0_u64, 0_u64);
        let kinds = level.advise().iter().filter(|(value, _)| gives_back(*value)).map(|(_, ledger)| ledger);
        for ledger in kinds.chain([&level.munmap]) {
            super::ledger::add_known(&mut bytes, ledger.returned_bytes);
            of_calls |= ledger.has_calls();
            by_freed += ledger.returned_by_freed;
            by_unmapped += ledger.returned_by_unmapped;
            effective = effective.saturating_add(ledger.effective_bytes);
            effective_of = effective_of.saturating_add(ledger.effective_of_bytes);
        }
        let by = match (by_freed, by_unmapped) {
            (0, 0) => None,
            (_, 0) => Some(ReturnedBy::Freed),
            (0, _) => Some(ReturnedBy::Unmapped),
            _ => Some(ReturnedBy::Mixed),
        };
        let effectiveness_ratio = (effective_of > 0).then(|| effective as f64 / effective_of as f64);
        Self { bytes: bytes.or((!of_calls).then_some(0)), by, effectiveness_ratio }
    }
}

/// One row per advice kind that was used or whose pages came back.
fn advise_rows(level: &Level, refaults: Option<&Refaults>) -> Vec<(String, CallSnapshot)> {
    let used = |value: i32| level.advise().iter().any(|(v, _)| *v == value);
    // the kind that stands for a group: the rare rest goes to the one that was used
    let owner = |group: usize| match group {
        0 => advice::DONTNEED,
        1 => advice::PAGEOUT,
        2 => advice::DONTNEED_LOCKED,
        _ if !used(advice::REMOVE) && used(advice::GUARD_INSTALL) => advice::GUARD_INSTALL,
        _ => advice::REMOVE,
    };
    let refaulted = |value: i32| {
        refaults.map(|r| (0..advice::GROUPS).filter(|g| owner(*g) == value).map(|g| r.bytes[g]).sum::<u64>())
    };
    let mut rows: Vec<(i32, CallSnapshot)> =
        level.advise().iter().map(|(value, ledger)| (*value, ledger.snapshot(refaulted(*value)))).collect();
    for value in (0..advice::GROUPS).map(owner).filter(|value| !used(*value)) {
        // returned in an earlier interval, came back in this one
        if let Some(bytes) = refaulted(value).filter(|bytes| *bytes > 0) {
            let row = CallSnapshot { unmapped_bytes: Some(0), refaulted_bytes: Some(bytes), ..Default::default() };
            rows.push((value, row));
        }
    }
    rows.sort_by_key(|(value, _)| *value);
    rows.into_iter().map(|(value, row)| (advice_name(value), row)).collect()
}

fn advice_name(value: i32) -> String {
    match advice::name(value) {
        Some(name) => name.to_owned(),
        None if value == OTHER_ADVICE => "advice_other".to_owned(),
        None => format!("advice_{value}"),
    }
}

fn notes(process: &ProcessSnapshot, state: &Process, level: &Level) -> Vec<String> {
    let mut notes = Vec::new();
    let rows = || process.advise.iter().map(|(_, row)| row).chain([&process.munmap]);
    let unmeasured: u64 = rows().map(|row| row.unmeasured_calls).sum();
    if unmeasured > 0 {
        notes.push(format!("{unmeasured} calls could not be measured: what they returned is missing from the sums"));
    }
    if let Some(bytes) = process.untracked_bytes.filter(|bytes| *bytes > 0) {
        notes.push(format!("re-faults of {bytes} returned bytes could not be watched: re-faulted is a lower bound"));
    }
    if let Some(faults) = process.unseen_faults.filter(|faults| *faults > 0) {
        notes.push(format!(
            "{faults} page faults or more came without an event: what they brought back is not in re-faulted"
        ));
    }
    if level.is_estimated() {
        notes.push("latencies are estimates within a factor of two: its calls are added up in the kernel".to_owned());
    }
    if state.folded_oom_killed > 0 {
        notes.push(format!("{} of the {} folded processes were OOM-killed", state.folded_oom_killed, state.folded));
    }
    notes
}
