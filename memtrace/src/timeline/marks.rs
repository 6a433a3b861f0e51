//! What happened between the points of a timeline: pressure that was told, stalls to reclaim.
use crate::event::{GoCounters, PressureEvent, PressureTold, ReclaimEvent};
use std::collections::VecDeque;
use std::sync::Arc;

/// The newest of one process; older ones are counted. Under 10 KiB.
const MARKS: usize = 64;
/// Stalls that are so close are one.
const TOGETHER_NS: u64 = 100_000_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// CLOCK_MONOTONIC; of several stalls: of the last.
    pub t_ns: u64,
    pub what: MarkWhat,
    /// At that instant.
    pub go: Option<GoCounters>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum MarkWhat {
    Told(Arc<PressureTold>),
    Reclaim(Stalls),
}

/// Stalls of one process to reclaim, one soon after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// The memory cgroup was at its limit; else the host was short of memory.
    pub memcg: bool,
    pub times: u64,
    pub stall_ns: u64,
    pub reclaimed_bytes: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Marks {
    newest: VecDeque<Mark>,
    dropped: u64,
}

impl Marks {
    pub fn told(&mut self, event: &PressureEvent) {
        self.push(Mark { t_ns: event.meta.t_ns, what: MarkWhat::Told(event.told.clone()), go: event.go });
    }

    pub fn stalled(&mut self, event: &ReclaimEvent) {
        let t_ns = event.meta.t_ns;
        if let Some(last) = self.newest.back_mut()
            && let MarkWhat::Reclaim(stalls) = &mut last.what
            && stalls.memcg == event.memcg
            && t_ns.saturating_sub(last.t_ns) < TOGETHER_NS
        {
            stalls.times += 1;
            stalls.stall_ns = stalls.stall_ns.saturating_add(event.duration_ns);
            stalls.reclaimed_bytes = stalls.reclaimed_bytes.saturating_add(event.reclaimed_bytes);
            (last.t_ns, last.go) = (last.t_ns.max(t_ns), event.go.or(last.go));
            return;
        }
        let (stall_ns, reclaimed_bytes) = (event.duration_ns, event.reclaimed_bytes);
        let stalls = Stalls { memcg: event.memcg, times: 1, stall_ns, reclaimed_bytes };
        self.push(Mark { t_ns, what: MarkWhat::Reclaim(stalls), go: event.go });
    }

    /// In the order of their time.
    pub fn all(&self) -> Vec<Mark> {
        let mut all: Vec<Mark> = self.newest.iter().cloned().collect();
        all.sort_by_key(|mark| mark.t_ns);
        all
    }

    /// Older ones that went for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn push(&mut self, mark: Mark) {
        if self.newest.len() >= MARKS {
            self.newest.pop_front();
            self.dropped += 1;
        }
        self.newest.push_back(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Meta, PressureWhat};

    fn stall(t_ns: u64, memcg: bool) -> ReclaimEvent {
        let meta = Meta { t_ns, tgid: 1, tid: 1, target: 1, cpu: 0 };
        let (cgroup_v1_id, cgroup_v2_id) = (None, None);
        let (duration_ns, reclaimed_bytes) = (5, 4096);
        ReclaimEvent { meta, memcg, duration_ns, reclaimed_bytes, order: None, cgroup_v1_id, cgroup_v2_id, go: None }
    }

    #[test]
    fn stalls_that_are_close_are_one_mark() {
        let mut marks = Marks::default();
        [0, 50, 99].iter().for_each(|ms| marks.stalled(&stall(ms * 1_000_000, true)));
        marks.stalled(&stall(99_000_001, false));
        marks.stalled(&stall(300_000_000, false));
        let stalls = |mark: &Mark| match mark.what {
            MarkWhat::Reclaim(stalls) => (stalls.memcg, stalls.times, stalls.stall_ns, stalls.reclaimed_bytes),
            MarkWhat::Told(_) => panic!("nothing was told"),
        };
        let all: Vec<_> = marks.all().iter().map(stalls).collect();
        assert_eq!(all, [(true, 3, 15, 3 * 4096), (false, 1, 5, 4096), (false, 1, 5, 4096)]);
    }

    #[test]
    fn the_newest_stay_in_the_order_of_their_time_and_the_rest_is_counted() {
        let mut marks = Marks::default();
        let told = Arc::new(PressureTold { t_ns: 0, cgroup: None, what: PressureWhat::OutOfMemory, times: 1 });
        for t_ns in (0..70).rev() {
            let meta = Meta { t_ns, tgid: 1, tid: 0, target: 1, cpu: 0 };
            marks.told(&PressureEvent { meta, told: told.clone(), go: None });
        }
        let all = marks.all();
        assert_eq!((all.len(), all[0].t_ns, all[63].t_ns, marks.dropped()), (64, 0, 63, 6));
    }
}
