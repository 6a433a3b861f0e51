//! What several processes share at one instant, read once: their cgroups and the host.
use crate::cgroup::tree::Tree;
use crate::cgroup::{Account, Charge};
use crate::host::mounts::CgroupFacts;
use crate::procfs::clock::ClockOffset;
use crate::procfs::host;
use crate::procfs::process::Status;
use crate::procfs::psi::Pressure;
use crate::timeline::{Point, Signal};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECOND_NS: u64 = 1_000_000_000;
/// An account is a dozen files: for so long at most only those are read again that move with the charge, and they when it has
/// moved by more than the kernel itself counts ahead for each CPU (MEMCG_CHARGE_BATCH, 64 pages). A limit is seen late.
const STANDS_NS: u64 = 10 * SECOND_NS;
const BATCH_PAGES: u64 = 64;
/// With less than this part of the limit left all are read, page cache or not: there much may change at one charge.
const ROOM_PERCENT: u64 = 10;
/// Nobody asked for it for so long.
const FORGOTTEN_NS: u64 = 15 * SECOND_NS;

/// Made anew for each instant; keeps what still stands.
#[derive(Debug)]
pub(super) struct Instant {
    pub(super) t_ns: u64,
    pub(super) facts: Arc<CgroupFacts>,
    pub(super) wall: ClockOffset,
    pub(super) memory: Option<(u64, u64)>,
    pub(super) pressure: Option<Pressure>,
    /// RSS of who has been looked at.
    pub(super) rss: HashMap<u32, Option<u64>>,
    /// By path: its bytes are hashed faster than its components.
    cgroups: HashMap<OsString, Cgroup>,
}

/// One of them, with all below it.
#[derive(Debug, Default)]
struct Cgroup {
    asked_ns: u64,
    read_ns: u64,
    account: Option<Account>,
    /// When that was divided.
    divided_bytes: Option<u64>,
    /// As it is now.
    charge: Option<Charge>,
    tree: Tree,
    /// Who is in it; `None`: to be asked.
    pids: Option<BTreeSet<u32>>,
    /// What they have together, and when.
    rss_bytes: Option<(u64, u64)>,
}

impl Cgroup {
    fn read(directory: &Path, facts: &CgroupFacts, t_ns: u64) -> Cgroup {
        let account = Account::at(directory, facts);
        let charge = account.as_ref().and_then(|account| Charge::open(directory, account.version));
        let divided_bytes = account.as_ref().and_then(|account| account.charge_bytes);
        Cgroup { asked_ns: t_ns, read_ns: t_ns, account, divided_bytes, charge, ..Cgroup::default() }
    }

    /// What there is stands, or was brought to where it is now. False: all of it is to be read.
    fn renew(&mut self, t_ns: u64) -> bool {
        let Some((account, charge)) = self.account.as_mut().zip(self.charge.as_ref()) else { return false };
        // Above `high` allocations are slowed down: what stalls there is told at each point.
        let limit = account.effective_limit_bytes.into_iter().chain(account.high_bytes).min();
        let has_room = |charge: &u64| limit.is_none_or(|limit| *charge < limit / 100 * (100 - ROOM_PERCENT));
        let is_late = t_ns.saturating_sub(self.read_ns) >= STANDS_NS;
        let Some(bytes) = charge.read().filter(|bytes| !is_late && has_room(bytes)) else { return false };
        if account.charge_bytes.replace(bytes) == Some(bytes) {
            return true;
        }
        // Whoever came was charged.
        self.pids = None;
        let has_moved = |before: u64| before.abs_diff(bytes) >= BATCH_PAGES * ::procfs::page_size();
        if !self.divided_bytes.is_none_or(has_moved) {
            return true;
        }
        let is_same = account.divide_again(charge);
        self.divided_bytes = account.charge_bytes;
        is_same
    }

    /// Who is in it, and in those below it.
    fn pids(&mut self, directory: &Path) -> &BTreeSet<u32> {
        let Cgroup { tree, pids, .. } = self;
        pids.get_or_insert_with(|| {
            if !tree.stands() {
                *tree = Tree::read(directory);
            }
            tree.pids()
        })
    }
}

impl Instant {
    pub(super) fn new(facts: Arc<CgroupFacts>) -> Self {
        Self {
            t_ns: 0,
            facts,
            wall: ClockOffset::of_wall(),
            memory: None,
            pressure: None,
            rss: HashMap::new(),
            cgroups: HashMap::new(),
        }
    }

    /// Nothing, if it is this one already.
    pub(super) fn renew(&mut self, t_ns: u64) {
        if self.t_ns == t_ns {
            return;
        }
        self.t_ns = t_ns;
        self.wall = ClockOffset::of_wall();
        self.memory = host::memory_bytes();
        self.pressure = host::pressure();
        self.rss.clear();
        self.cgroups.retain(|_, cgroup| t_ns.saturating_sub(cgroup.asked_ns) < FORGOTTEN_NS);
    }

    /// What counts is the cgroup whose limit is met first: its own, or one above.
    pub(super) fn limiting(&mut self, own: PathBuf) -> PathBuf {
        let limit_path = self.account(&own).and_then(|account| account.limit_path.clone());
        limit_path.unwrap_or(own)
    }

    pub(super) fn account(&mut self, directory: &Path) -> Option<&Account> {
        self.cgroup(directory)?.account.as_ref()
    }

    fn cgroup(&mut self, directory: &Path) -> Option<&mut Cgroup> {
        let Self { t_ns, facts, cgroups, .. } = self;
        if !cgroups.contains_key(directory.as_os_str()) {
            cgroups.insert(directory.into(), Cgroup::default());
        }
        let cgroup = cgroups.get_mut(directory.as_os_str())?;
        if cgroup.asked_ns != *t_ns {
            if !cgroup.renew(*t_ns) {
                let tree = std::mem::take(&mut cgroup.tree);
                *cgroup = Cgroup { tree, ..Cgroup::read(directory, facts, *t_ns) };
            }
            cgroup.asked_ns = *t_ns;
        }
        Some(cgroup)
    }

    /// Somebody came into it, or left it.
    pub(super) fn moved(&mut self, directory: &Path) {
        self.cgroups.remove(directory.as_os_str());
    }

    /// What a point says of the other members of its cgroup, once all that are watched have been looked at.
    pub(super) fn others(&mut self, pid: u32, directory: &Path, point: &mut Point) {
        let mut known = std::mem::take(&mut self.rss);
        let t_ns = self.t_ns;
        if let Some(cgroup) = self.cgroup(directory) {
            let before = cgroup.rss_bytes.filter(|(at_ns, _)| *at_ns == t_ns);
            let pids = cgroup.pids(directory);
            let mut rss = |pid: u32| *known.entry(pid).or_insert_with(|| Status::read(pid).ok()?.rss_bytes());
            let all = before.map_or_else(|| pids.iter().copied().filter_map(&mut rss).sum(), |(_, bytes)| bytes);
            let own = pids.get(&pid).and_then(|pid| rss(*pid));
            point.set(Signal::OthersRss, all.saturating_sub(own.unwrap_or(0)));
            point.set(Signal::CgroupProcesses, pids.len() as u64);
            cgroup.rss_bytes = Some((t_ns, all));
        }
        self.rss = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_moves_with_a_charge_is_read_when_that_does_and_all_where_little_room_is_left() {
        let home = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(home.path().join(file), text).unwrap();
        let facts = CgroupFacts {
            memory_version: Some(2),
            memory_path: Some(home.path().to_owned()),
            ..CgroupFacts::default()
        };
        let mut instant = Instant::new(Arc::new(facts));
        let mut read = |t_ns: u64, charge: &str, text: &str| {
            write("memory.current", charge);
            write("memory.stat", &format!("anon {text}\n"));
            write("memory.peak", text);
            write("cgroup.procs", text);
            instant.renew(t_ns);
            let account = instant.account(home.path()).unwrap();
            let figures = [account.charge_bytes, account.anon_bytes, account.peak_bytes].map(Option::unwrap);
            let mut point = Point::at(t_ns);
            instant.others(0, home.path(), &mut point);
            let who = instant.cgroups[home.path().as_os_str()].pids.as_ref().unwrap().first().copied();
            (figures, who.unwrap())
        };
        const K: u64 = 1 << 10;
        let (batch, limit) = (BATCH_PAGES * ::procfs::page_size(), 1 << 30);
        let mut at = |s: u64, charge: u64, text: &str| read(s * SECOND_NS, &format!("{charge}\n"), text);
        write("memory.max", &format!("{limit}\n"));
        assert_eq!(at(1, 500 * K, "1"), ([500 * K, 1, 1], 1));
        assert_eq!(at(2, 500 * K, "2"), ([500 * K, 1, 1], 1), "nothing was charged");
        assert_eq!(at(3, 501 * K, "3"), ([501 * K, 1, 1], 3), "less than is counted ahead");
        assert_eq!(at(4, 500 * K + batch, "4"), ([500 * K + batch, 4, 1], 4), "more");
        assert_eq!(at(10, 501 * K + batch, "5"), ([501 * K + batch, 4, 1], 5));
        assert_eq!(at(11, 501 * K + batch, "6"), ([501 * K + batch, 6, 6], 6), "long ago");
        assert_eq!(at(12, limit / 100 * 95, "7"), ([limit / 100 * 95, 7, 7], 7));
        assert_eq!(at(13, limit / 100 * 95, "8"), ([limit / 100 * 95, 8, 8], 8), "little room");
        write("memory.max", &format!("{}\n", 2 * limit));
        assert_eq!(at(14, limit, "9"), ([limit, 9, 9], 9), "and a limit with more");
        assert_eq!(at(15, limit + batch, "1"), ([limit + batch, 1, 9], 1));
        write("memory.max", &format!("{}\n", 3 * limit));
        assert_eq!(at(16, limit, "2"), ([limit, 2, 2], 2), "another limit");
        instant.moved(home.path());
        assert!(instant.cgroups.is_empty());
    }
}
