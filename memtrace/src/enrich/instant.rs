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
/// An account, which is a dozen files, stands for so long at most, and only while the charge does. That is counted ahead, 64
/// pages for each CPU: less than that may have changed, and a limit that was set meanwhile is seen late.
const STANDS_NS: u64 = 10 * SECOND_NS;
/// Nor does it with less than this part of the limit left, page cache or not: there much may change at one charge.
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
    /// As it is now.
    charge: Option<Charge>,
    /// Who is in it.
    pids: Option<BTreeSet<u32>>,
    /// What they have together, and when.
    rss_bytes: Option<(u64, u64)>,
}

impl Cgroup {
    fn read(directory: &Path, facts: &CgroupFacts, t_ns: u64) -> Cgroup {
        let account = Account::at(directory, facts);
        let charge = account.as_ref().and_then(|account| Charge::open(directory, account.version));
        Cgroup { asked_ns: t_ns, read_ns: t_ns, account, charge, pids: None, rss_bytes: None }
    }

    fn stands(&self, t_ns: u64) -> bool {
        let Some((account, charge)) = self.account.as_ref().zip(self.charge.as_ref()) else { return false };
        let has_room = |charge: u64| {
            let limit = account.effective_limit_bytes;
            limit.is_none_or(|limit| charge < limit / 100 * (100 - ROOM_PERCENT))
        };
        t_ns.saturating_sub(self.read_ns) < STANDS_NS
            && charge.read().is_some_and(|charge| account.charge_bytes == Some(charge) && has_room(charge))
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
            if !cgroup.stands(*t_ns) {
                *cgroup = Cgroup::read(directory, facts, *t_ns);
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
            let pids = cgroup.pids.get_or_insert_with(|| Tree::read(directory).pids());
            let mut rss = |pid: u32| *known.entry(pid).or_insert_with(|| Status::read(pid).ok()?.rss_bytes());
            let all = match cgroup.rss_bytes {
                Some((at_ns, bytes)) if at_ns == t_ns => bytes,
                _ => pids.iter().copied().filter_map(&mut rss).sum(),
            };
            cgroup.rss_bytes = Some((t_ns, all));
            let own = pids.get(&pid).and_then(|pid| rss(*pid));
            point.set(Signal::OthersRss, all.saturating_sub(own.unwrap_or(0)));
            point.set(Signal::CgroupProcesses, pids.len() as u64);
        }
        self.rss = known;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_account_stands_while_its_charge_does_and_room_is_left() {
        let home = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(home.path().join(file), text).unwrap();
        let facts = CgroupFacts {
            memory_version: Some(2),
            memory_path: Some(home.path().to_owned()),
            ..CgroupFacts::default()
        };
        let mut instant = Instant::new(Arc::new(facts));
        let mut anon = |t_ns: u64, charge: &str, anon: &str| {
            write("memory.current", charge);
            write("memory.stat", &format!("anon {anon}\n"));
            instant.renew(t_ns);
            instant.account(home.path()).unwrap().anon_bytes.unwrap()
        };
        write("memory.max", "1000\n");
        assert_eq!(anon(SECOND_NS, "500\n", "1"), 1);
        assert_eq!(anon(2 * SECOND_NS, "500\n", "2"), 1, "nothing was charged");
        assert_eq!(anon(3 * SECOND_NS, "501\n", "3"), 3, "something was");
        assert_eq!(anon(12 * SECOND_NS, "501\n", "4"), 3);
        assert_eq!(anon(13 * SECOND_NS, "501\n", "5"), 5, "long ago");
        assert_eq!(anon(14 * SECOND_NS, "950\n", "6"), 6);
        assert_eq!(anon(15 * SECOND_NS, "950\n", "7"), 7, "little room");
        instant.moved(home.path());
        assert!(instant.cgroups.is_empty());
    }
}
