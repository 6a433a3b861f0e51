//! How much room cgroups have left, and how fast it goes: asked ten times a second, so that who asks keeps the file open.
use crate::cgroup::Charge;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

const SECOND_NS: u64 = 1_000_000_000;

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
}

impl Room {
    fn left_bytes(&self) -> Option<u64> {
        Some(self.limit_bytes?.saturating_sub(self.charge_bytes.saturating_sub(self.reclaimable_bytes)))
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
pub(super) struct Rooms(HashMap<PathBuf, (Room, Option<Charge>)>);

impl Rooms {
    pub(super) fn of(&self, directory: &Path) -> Room {
        self.0.get(directory).map(|(room, _)| *room).unwrap_or_default()
    }

    /// What has no limit cannot run out.
    pub(super) fn limited(&mut self, directory: &Path, limit_bytes: Option<u64>, reclaimable_bytes: u64) {
        if limit_bytes.is_none() {
            self.0.remove(directory);
            return;
        }
        match self.0.get_mut(directory) {
            Some((room, _)) => *room = Room { limit_bytes, reclaimable_bytes, ..*room },
            None => {
                let room = Room { limit_bytes, reclaimable_bytes, ..Room::default() };
                self.0.insert(directory.to_owned(), (room, None));
            }
        }
    }

    pub(super) fn measure(&mut self, now_ns: u64, version: u8) {
        for (directory, (room, charge)) in &mut self.0 {
            let read = charge.as_ref().and_then(Charge::read).or_else(|| {
                // First time, or another cgroup has its name by now.
                *charge = Charge::open(directory, version);
                charge.as_ref()?.read()
            });
            if let Some(charge_bytes) = read {
                *room = room.next(now_ns, charge_bytes);
            }
        }
    }

    pub(super) fn any(&self, is: impl Fn(&Room) -> bool) -> bool {
        self.0.values().any(|(room, _)| is(room))
    }

    pub(super) fn keep(&mut self, used: &HashSet<&Path>) {
        self.0.retain(|directory, _| used.contains(directory.as_path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_little_by_its_size_or_by_the_pace_at_which_it_goes() {
        let at = |charge_bytes, limit_bytes, bytes_per_s| Room {
            t_ns: 1,
            charge_bytes,
            limit_bytes,
            bytes_per_s,
            reclaimable_bytes: 0,
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
        assert!(rooms.0.is_empty());
        write("90\n");
        rooms.limited(home.path(), Some(100), 0);
        rooms.measure(1, 2);
        assert_eq!(rooms.of(home.path()).charge_bytes, 90);
        // The open file of a cgroup that was removed says nothing more.
        write("");
        let file = home.path().join("memory.current");
        std::fs::remove_file(&file).unwrap();
        rooms.measure(2, 2);
        assert_eq!(rooms.of(home.path()).charge_bytes, 90);
        write("50\n");
        rooms.measure(3, 2);
        assert_eq!(rooms.of(home.path()).charge_bytes, 50);
        rooms.limited(home.path(), None, 0);
        assert!(rooms.0.is_empty());
    }
}
