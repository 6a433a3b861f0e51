//! Page faults that the kernel handled and no program was started for.
//!
//! There are two kinds, and the counters cannot tell them apart. The kernel's own touches (MAP_POPULATE, mlock, pinned pages)
//! make no event. And while a thread is inside bpf() with a map, the kernel starts no perf-event program on its CPU, nor counts
//! it (bpf_overflow_handler, kernel/events/core.c); where the kernel may be preempted, a target can come on that CPU then.

/// Of one process: what both had counted when they were first compared.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unseen {
    base: Option<(u64, u64)>,
    faults: u64,
}

impl Unseen {
    /// `handled`: by the kernel, read before `seen`, of the programs; so that those in between make it less.
    pub(super) fn compare(&mut self, handled: Option<u64>, seen: u64, handled_since: impl FnOnce() -> Option<u64>) {
        let Some(handled) = handled else { return };
        let Some((first_handled, first_seen)) = self.base else {
            // The other way round, for the same reason.
            self.base = handled_since().map(|handled| (handled, seen));
            return;
        };
        let more = handled.saturating_sub(first_handled).saturating_sub(seen.saturating_sub(first_seen));
        self.faults = self.faults.max(more);
    }

    /// At least so many; `None` before the second look.
    pub(super) fn faults(&self) -> Option<u64> {
        self.base.map(|_| self.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handled_between_both_looks_is_not_unseen() {
        let mut of = Unseen::default();
        assert_eq!(of.faults(), None);
        of.compare(Some(100), 10, || Some(105));
        assert_eq!((of.base, of.faults()), (Some((105, 10)), Some(0)));
        for (handled, seen, unseen) in [(106, 20, 0), (125, 25, 5), (130, 40, 5), (u64::MAX, 41, u64::MAX - 105 - 31)] {
            of.compare(Some(handled), seen, || panic!("only at first"));
            assert_eq!(of.faults(), Some(unseen));
        }
        of.compare(None, 50, || None);
    }
}
