//! How much room cgroups have left, and how fast it goes. That counts ten times a second, but none is asked as long as all
//! that the host has allocated since it was asked last could not have filled it.
use crate::cgroup::Charge;
use crate::procfs::host::Allocated;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

const SECOND_NS: u64 = 1_000_000_000;
/// Asked so often anyhow: what was allocated before may be charged later (free objects in slabs).
const ASKED_NS: u64 = 10 * SECOND_NS;

/// Room is little with less than this part of the limit left, or where it goes within so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Little {
    pub(super) percent: u64,
    pub(super) within_ns: u64,
}

/// Room in a cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    t_ns: u64,
    charge_bytes: u64,
    limit_bytes: Option<u64>,
    /// Of the charge, when a point was last taken: page cache that fills a cgroup is room.
    reclaimable_bytes: u64,
    /// How fast the charge grows.
    bytes_per_s: u64,
    /// By the host, when it was asked; see [`Allocated`].
    allocated_bytes: Option<u64>,
}

impl Room {
    fn left_bytes(&self) -> Option<u64> {
        Some(self.limit_bytes?.saturating_sub(self.charge_bytes.saturating_sub(self.reclaimable_bytes)))
    }

    pub(super) fn is_little(&self, little: Little) -> bool {
        self.is_below(little.percent) || self.ends_within(little.within_ns)
    }

    /// It may be little by now, whoever has got what was allocated since; `bytes_per_s`: how fast it is, of late.
    fn may_be_little(&self, t_ns: u64, allocated_bytes: Option<u64>, bytes_per_s: u64, little: Little) -> bool {
        let Some((now, before)) = allocated_bytes.zip(self.allocated_bytes) else { return true };
        let charge_bytes = self.charge_bytes.saturating_add(now.wrapping_sub(before));
        let most = Room { charge_bytes, bytes_per_s, ..*self };
        self.t_ns == 0 || t_ns.saturating_sub(self.t_ns) >= ASKED_NS || most.is_little(little)
    }

    pub(super) fn is_below(&self, percent: u64) -> bool {
        self.left_bytes().zip(self.limit_bytes).is_some_and(|(left, limit)| left < limit / 100 * percent)
    }

    pub(super) fn ends_within(&self, ns: u64) -> bool {
        let left_ns = |left: u64| u128::from(left) * u128::from(SECOND_NS) / u128::from(self.bytes_per_s.max(1));
        self.left_bytes().is_some_and(|left| left_ns(left) < u128::from(ns))
    }

    fn next(&self, t_ns: u64, charge_bytes: u64) -> Room {
        let elapsed_ns = t_ns.saturating_sub(self.t_ns).max(1);
        let grown = u128::from(charge_bytes.saturating_sub(self.charge_bytes)) * u128::from(SECOND_NS);
        let bytes_per_s = if self.t_ns == 0 { 0 } else { (grown / u128::from(elapsed_ns)) as u64 };
        Room { t_ns, charge_bytes, bytes_per_s, ..*self }
    }
}

/// Of the cgroups that have a limit; by directory.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// By path: its bytes are hashed faster than its components.
    of: HashMap<OsString, (Room, Option<Charge>)>,
    allocated: Option<Allocated>,
    /// When all that was looked at last, and how much it was.
    before: Option<(u64, u64)>,
}

impl Rooms {
    pub(super) fn of(&self, directory: &Path) -> Room {
        self.of.get(directory.as_os_str()).map(|(room, _)| *room).unwrap_or_default()
    }

    /// What has no limit cannot run out.
    pub(super) fn limited(&mut self, directory: &Path, limit_bytes: Option<u64>, reclaimable_bytes: u64) {
        if limit_bytes.is_none() {
            self.of.remove(directory.as_os_str());
            return;
        }
        match self.of.get_mut(directory.as_os_str()) {
            Some((room, _)) => *room = Room { limit_bytes, reclaimable_bytes, ..*room },
            None => {
                let room = Room { limit_bytes, reclaimable_bytes, ..Room::default() };
                self.of.insert(directory.into(), (room, None));
            }
        }
    }

    pub(super) fn measure(&mut self, now_ns: u64, version: u8, little: Little) {
        if self.of.is_empty() {
            return;
        }
        if self.allocated.is_none() {
            self.allocated = Allocated::open();
        }
        let allocated_bytes = self.allocated.as_ref().and_then(Allocated::bytes);
        self.measure_after(now_ns, version, little, allocated_bytes);
    }

    fn measure_after(&mut self, now_ns: u64, version: u8, little: Little, allocated_bytes: Option<u64>) {
        // Of the time since the last look alone: what begins after a calm minute counts at once.
        let since = |(t_ns, bytes): (u64, u64)| {
            let grown = u128::from(allocated_bytes?.wrapping_sub(bytes)) * u128::from(SECOND_NS);
            u64::try_from(grown / u128::from(now_ns.saturating_sub(t_ns).max(1))).ok()
        };
        let pace = self.before.map_or(Some(0), since).unwrap_or(u64::MAX);
        self.before = allocated_bytes.map(|bytes| (now_ns, bytes));
        let due = |room: &Room| room.is_little(little) || room.may_be_little(now_ns, allocated_bytes, pace, little);
        for (directory, (room, charge)) in self.of.iter_mut().filter(|(_, (room, _))| due(room)) {
            let read = charge.as_ref().and_then(Charge::read).or_else(|| {
                // First time, or another cgroup has its name by now.
                *charge = Charge::open(Path::new(directory), version);
                charge.as_ref()?.read()
            });
            if let Some(charge_bytes) = read {
                *room = Room { allocated_bytes, ..room.next(now_ns, charge_bytes) };
            }
        }
    }

    pub(super) fn any(&self, is: impl Fn(&Room) -> bool) -> bool {
        self.of.values().any(|(room, _)| is(room))
    }

    pub(super) fn keep(&mut self, used: &HashSet<&OsStr>) {
        self.of.retain(|directory, _| used.contains(directory.as_os_str()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Little = Little { percent: 10, within_ns: 3 * SECOND_NS };

    #[test]
    fn room_is_little_by_its_size_or_by_the_pace_at_which_it_goes() {
        let at = |charge_bytes, limit_bytes, bytes_per_s| Room {
            t_ns: 1,
            charge_bytes,
            limit_bytes,
            bytes_per_s,
            ..Room::default()
        };
        assert!(!Room { reclaimable_bytes: 15, ..at(100, Some(100), 0) }.is_below(10), "page cache is room");
        assert!(at(95, Some(100), 0).is_below(10) && !at(80, Some(100), 0).is_below(10));
        assert!(at(0, Some(100), 50).ends_within(3 * SECOND_NS) && !at(0, Some(100), 20).ends_within(3 * SECOND_NS));
        assert!(!at(1 << 40, None, u64::MAX).ends_within(3 * SECOND_NS) && !at(1 << 40, None, 0).is_below(100));
        let grown = at(100, Some(1000), 0).next(1 + SECOND_NS / 10, 130);
        assert_eq!((grown.bytes_per_s, grown.limit_bytes), (300, Some(1000)));
        assert_eq!(grown.next(grown.t_ns + SECOND_NS, 50).bytes_per_s, 0);
        assert_eq!(Room::default().next(5, 1 << 30).bytes_per_s, 0, "a first look knows no pace");
    }

    #[test]
    fn only_what_has_a_limit_is_asked_and_a_cgroup_made_anew_counts() {
        let home = tempfile::tempdir().unwrap();
        let write = |bytes: &str| std::fs::write(home.path().join("memory.current"), bytes).unwrap();
        let mut rooms = Rooms::default();
        rooms.limited(home.path(), None, 0);
        assert!(rooms.of.is_empty());
        write("90\n");
        rooms.limited(home.path(), Some(100), 0);
        let measure = |rooms: &mut Rooms, now_ns| rooms.measure_after(now_ns, 2, LITTLE, None);
        measure(&mut rooms, 1);
        assert_eq!(rooms.of(home.path()).charge_bytes, 90);
        // The open file of a cgroup that was removed says nothing more.
        write("");
        let file = home.path().join("memory.current");
        std::fs::remove_file(&file).unwrap();
        measure(&mut rooms, 2);
        assert_eq!(rooms.of(home.path()).charge_bytes, 90);
        write("50\n");
        measure(&mut rooms, 3);
        assert_eq!(rooms.of(home.path()).charge_bytes, 50);
        rooms.limited(home.path(), None, 0);
        assert!(rooms.of.is_empty());
    }

    #[test]
    fn nobody_is_asked_whom_all_that_was_allocated_could_not_fill() {
        let home = tempfile::tempdir().unwrap();
        let mut rooms = Rooms::default();
        rooms.limited(home.path(), Some(1000), 0);
        let mut charge_at = |now_ns: u64, charge: &str, allocated_bytes: u64| {
            std::fs::write(home.path().join("memory.current"), charge).unwrap();
            rooms.measure_after(now_ns, 2, LITTLE, Some(allocated_bytes));
            rooms.of(home.path()).charge_bytes
        };
        assert_eq!(charge_at(SECOND_NS, "100\n", 5000), 100, "a first time");
        assert_eq!(charge_at(2 * SECOND_NS, "101\n", 5220), 100, "220 a second fill 680 in more than three");
        assert_eq!(charge_at(3 * SECOND_NS, "102\n", 5700), 102, "350 a second fill 200 in less");
        assert_eq!(charge_at(4 * SECOND_NS, "103\n", 5700), 102);
        assert_eq!(charge_at(13 * SECOND_NS, "104\n", 5700), 104, "it is long ago");
        assert_eq!(charge_at(14 * SECOND_NS, "105\n", 7000), 105, "so much may have gone there");
        assert_eq!(charge_at(15 * SECOND_NS, "950\n", 8000), 950);
        assert_eq!(charge_at(16 * SECOND_NS, "951\n", 8000), 951, "what is little is asked each time");
        assert_eq!(charge_at(17 * SECOND_NS, "100\n", 8000), 100);
        assert_eq!(charge_at(22 * SECOND_NS, "101\n", 8000), 100);
        assert_eq!(charge_at(22 * SECOND_NS + SECOND_NS / 10, "131\n", 8040), 131, "400 a second, whatever was before");
    }
}
