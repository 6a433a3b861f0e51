//! Other clocks against the monotonic one. The kernel dates processes on CLOCK_BOOTTIME (it runs through suspend), Go dates
//! collections on CLOCK_REALTIME, memtrace dates everything on CLOCK_MONOTONIC.
use rustix::time::{ClockId, clock_gettime};

const NS_PER_S: i64 = 1_000_000_000;
/// The narrowest of this many readings is kept.
const READINGS: usize = 5;

/// Another clock − CLOCK_MONOTONIC at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset {
    pub offset_ns: i64,
    /// Half the width of the reading: the truth is within ± this.
    pub uncertainty_ns: u64,
}

fn now_ns(clock: ClockId) -> i64 {
    let t = clock_gettime(clock);
    t.tv_sec.saturating_mul(NS_PER_S).saturating_add(t.tv_nsec)
}

impl ClockOffset {
    /// Of CLOCK_BOOTTIME: the time this machine has slept; 0 for most servers.
    pub fn of_boot() -> ClockOffset {
        Self::of(ClockId::Boottime)
    }

    /// Of CLOCK_REALTIME: setting that makes it another.
    pub fn of_wall() -> ClockOffset {
        Self::of(ClockId::Realtime)
    }

    fn of(clock: ClockId) -> ClockOffset {
        let reading = |_| {
            let before = now_ns(ClockId::Monotonic);
            let other = now_ns(clock);
            let width = now_ns(ClockId::Monotonic).saturating_sub(before);
            ClockOffset { offset_ns: other - before - width / 2, uncertainty_ns: (width / 2 + 1).unsigned_abs() }
        };
        (0..READINGS).map(reading).min_by_key(|r| r.uncertainty_ns).unwrap_or_default()
    }

    /// ns on the other clock to ns on the monotonic one; before its start: 0.
    pub fn to_monotonic(self, other_ns: u64) -> u64 {
        let ns = i128::from(other_ns) - i128::from(self.offset_ns);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }

    pub fn from_monotonic(self, monotonic_ns: u64) -> u64 {
        let ns = i128::from(monotonic_ns) + i128::from(self.offset_ns);
        u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
    }
}

/// CLOCK_MONOTONIC, ns: what `bpf_ktime_get_ns` returns.
pub fn monotonic_ns() -> u64 {
    now_ns(ClockId::Monotonic).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_apply_both_ways_and_never_wrap() {
        let slept = ClockOffset { offset_ns: 500, uncertainty_ns: 1 };
        assert_eq!((slept.to_monotonic(1500), slept.from_monotonic(1000)), (1000, 1500));
        assert_eq!(slept.to_monotonic(100), 0);
        assert_eq!(slept.from_monotonic(u64::MAX), u64::MAX);
    }

    #[test]
    fn the_boot_clock_is_not_behind() {
        let measured = ClockOffset::of_boot();
        assert!(measured.offset_ns >= -(measured.uncertainty_ns as i64), "{measured:?}");
    }
}
