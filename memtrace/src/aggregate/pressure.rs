//! What cgroups and the host told, and how long their processes stalled to reclaim: by cgroup.
use crate::event::{PressureEvent, PressureTold, PressureWhat, ReclaimEvent};
use crate::snapshot::{PressureSnapshot, SnapshotKind, ToldSnapshot};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Cgroups with an entry; of more only the processes' own figures are known.
const CGROUPS: usize = 1024;
/// The newest that were told of one cgroup.
const TOLD: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Pressures {
    /// By directory; `None`: the host.
    of: BTreeMap<Option<PathBuf>, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    interval: PressureSnapshot,
    window: PressureSnapshot,
    newest: VecDeque<ToldSnapshot>,
    /// How many of the newest came in this interval, of those still there.
    new: usize,
}

impl Pressures {
    /// The same is told of each process that it concerns, one right after the other.
    pub(super) fn told(&mut self, event: &PressureEvent) {
        let Some(entry) = self.entry(event.told.cgroup.as_deref()) else { return };
        let heap = event.go.map(|go| (event.meta.tgid, go));
        match entry.newest.back_mut() {
            Some(last) if Arc::ptr_eq(&last.told, &event.told) => last.heaps.extend(heap),
            _ => {
                entry.both(|sums| add(sums, &event.told));
                if entry.newest.len() >= TOLD {
                    entry.newest.pop_front();
                    entry.new = entry.new.min(TOLD - 1);
                }
                entry.newest.push_back(ToldSnapshot { told: event.told.clone(), heaps: heap.into_iter().collect() });
                entry.new += 1;
            }
        }
    }

    /// By one of its processes.
    pub(super) fn reclaimed(&mut self, cgroup: &Path, event: &ReclaimEvent) {
        let Some(entry) = self.entry(Some(cgroup)) else { return };
        entry.both(|sums| {
            sums.reclaim_stalls += 1;
            sums.reclaim_stall_ns = sums.reclaim_stall_ns.saturating_add(event.duration_ns);
            sums.reclaimed_bytes = sums.reclaimed_bytes.saturating_add(event.reclaimed_bytes);
        });
    }

    pub(super) fn tick(&mut self) {
        for entry in self.of.values_mut() {
            entry.interval = PressureSnapshot::default();
            entry.new = 0;
        }
    }

    /// Of those of which there is something to tell, the host first.
    pub(super) fn view(&self, kind: SnapshotKind) -> Vec<PressureSnapshot> {
        let view = |(path, entry): (&Option<PathBuf>, &Entry)| {
            let (sums, shown) = match kind {
                SnapshotKind::Interval => (&entry.interval, entry.new),
                SnapshotKind::Summary => (&entry.window, entry.newest.len()),
            };
            (*sums != PressureSnapshot::default()).then(|| PressureSnapshot {
                cgroup: path.clone(),
                newest: entry.newest.iter().skip(entry.newest.len() - shown).cloned().collect(),
                ..sums.clone()
            })
        };
        self.of.iter().filter_map(view).collect()
    }

    fn entry(&mut self, cgroup: Option<&Path>) -> Option<&mut Entry> {
        let key = cgroup.map(Path::to_path_buf);
        if self.of.len() >= CGROUPS && !self.of.contains_key(&key) {
            return None;
        }
        Some(self.of.entry(key).or_default())
    }
}

impl Entry {
    fn both(&mut self, apply: impl Fn(&mut PressureSnapshot)) {
        apply(&mut self.interval);
        apply(&mut self.window);
    }
}

fn add(to: &mut PressureSnapshot, told: &PressureTold) {
    to.told += 1;
    match told.what {
        PressureWhat::Events(grown) => to.events = to.events.plus(&grown),
        PressureWhat::Level(level) => to.levels[level as usize] += told.times,
        PressureWhat::OutOfMemory => to.out_of_memory += told.times,
        PressureWhat::Threshold { .. } => to.threshold_passed += told.times,
        PressureWhat::Stall(stall) if stall.is_full => {
            to.stalled_full_ns = to.stalled_full_ns.saturating_add(stall.stalled_ns);
        }
        PressureWhat::Stall(stall) => to.stalled_some_ns = to.stalled_some_ns.saturating_add(stall.stalled_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{GoCounters, Level, MemoryEvents, Meta};

    fn event(told: &Arc<PressureTold>, pid: u32) -> PressureEvent {
        let go = GoCounters {
            heap_inuse_bytes: u64::from(pid),
            heap_released_bytes: 0,
            heap_free_bytes: 0,
            total_alloc_bytes: 0,
            total_free_bytes: 0,
            mapped_ready_bytes: 0,
        };
        let meta = Meta { t_ns: told.t_ns, tgid: pid, tid: 0, target: pid, cpu: 0 };
        PressureEvent { meta, told: told.clone(), go: Some(go) }
    }

    fn told(cgroup: Option<&str>, what: PressureWhat, times: u64) -> Arc<PressureTold> {
        Arc::new(PressureTold { t_ns: 5, cgroup: cgroup.map(|path| Arc::from(Path::new(path))), what, times })
    }

    #[test]
    fn what_is_told_of_several_processes_counts_once() {
        let mut all = Pressures::default();
        let at_limit = told(Some("/a"), PressureWhat::Events(MemoryEvents { max: 3, ..MemoryEvents::default() }), 1);
        [7, 8].iter().for_each(|pid| all.told(&event(&at_limit, *pid)));
        all.told(&event(&told(Some("/a"), PressureWhat::Level(Level::Critical), 4), 7));
        all.tick();
        all.told(&event(&at_limit, 9));
        let window = all.view(SnapshotKind::Summary);
        assert_eq!(window.len(), 1);
        assert_eq!((window[0].told, window[0].events.max, window[0].levels), (3, 6, [0, 0, 4]));
        assert_eq!(window[0].newest[0].heaps.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [7, 8]);
        let interval = all.view(SnapshotKind::Interval);
        assert_eq!((interval[0].told, interval[0].newest.len()), (1, 1));
        all.tick();
        assert!(all.view(SnapshotKind::Interval).is_empty());
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let mut all = Pressures::default();
        for _ in 0..=TOLD {
            all.told(&event(&told(None, PressureWhat::OutOfMemory, 2), 7));
        }
        let interval = &all.view(SnapshotKind::Interval)[0];
        assert_eq!((interval.cgroup.as_ref(), interval.newest.len()), (None, TOLD));
        assert_eq!((interval.told, interval.out_of_memory), (33, 66));
    }

    #[test]
    fn cgroups_without_room_are_left_out() {
        let mut all = Pressures::default();
        for n in 0..2 * CGROUPS {
            all.told(&event(&told(Some(&format!("/{n}")), PressureWhat::OutOfMemory, 1), 7));
        }
        assert_eq!(all.view(SnapshotKind::Summary).len(), CGROUPS);
    }
}
