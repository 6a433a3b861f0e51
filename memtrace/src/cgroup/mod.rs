//! The memory controller's account of a cgroup, v1 and v2 in one model; see Documentation/admin-guide/cgroup-v2.rst and
//! cgroup-v1/memory.rst.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod gomemlimit;
pub mod identity;
pub mod kubelet;
pub mod notify;
pub mod reconcile;
pub mod tree;
mod v1;
mod v2;
pub mod workload;

use crate::host::mounts::CgroupFacts;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::psi::Pressure;
use crate::procfs::record;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// A cgroup with all below it, in bytes. `None`: this kernel or version does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    /// Its directory.
    pub path: PathBuf,
    /// 1 or 2.
    pub version: u8,
    /// Of version 1: its charge is without the kernel's memory.
    pub is_root: bool,
    pub charge_bytes: Option<u64>,
    /// Its own; `None`: unlimited, or unknown.
    pub limit_bytes: Option<u64>,
    /// The lowest of its own and those above it.
    pub effective_limit_bytes: Option<u64>,
    /// The cgroup that sets it; `None` with a limit: one above those that are seen from here.
    pub limit_path: Option<PathBuf>,
    /// v2 memory.high: above it allocations are slowed down.
    pub high_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    pub anon_bytes: Option<u64>,
    /// On the lists of reclaim: whole huge pages, shmem included.
    pub inactive_anon_bytes: Option<u64>,
    pub active_anon_bytes: Option<u64>,
    pub unevictable_bytes: Option<u64>,
    /// Page cache, shmem included.
    pub file_bytes: Option<u64>,
    pub shmem_bytes: Option<u64>,
    pub file_mapped_bytes: Option<u64>,
    pub file_dirty_bytes: Option<u64>,
    pub file_writeback_bytes: Option<u64>,
    pub inactive_file_bytes: Option<u64>,
    pub active_file_bytes: Option<u64>,
    /// All of the kernel's own: slab, stacks, page tables and more.
    pub kernel_bytes: Option<u64>,
    pub kernel_stack_bytes: Option<u64>,
    pub page_tables_bytes: Option<u64>,
    pub slab_reclaimable_bytes: Option<u64>,
    pub slab_unreclaimable_bytes: Option<u64>,
    pub percpu_bytes: Option<u64>,
    /// Memory of TCP. Part of the charge in v2; in v1 counted beside it, and only where it is limited.
    pub sock_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub swap_limit_bytes: Option<u64>,
    /// Huge pages of hugetlbfs, where the controller counts them.
    pub hugetlb_bytes: Option<u64>,
    /// Pages given to MADV_FREE since the cgroup began (v2 pglazyfree), and those the kernel then took (pglazyfreed).
    pub lazyfree_pages: Option<u64>,
    pub lazyfreed_pages: Option<u64>,
    /// v2 memory.events: reclaimed though below memory.low; slowed down at memory.high; out of memory.
    pub low_events: Option<u64>,
    pub high_events: Option<u64>,
    pub oom_events: Option<u64>,
    /// Times the limit was hit (v1 failcnt, v2 events max).
    pub limit_hits: Option<u64>,
    pub oom_kills: Option<u64>,
    /// v2: cgroups below that were removed, and still hold memory.
    pub dying_descendants: Option<u64>,
    /// v2 memory.pressure.
    pub pressure: Option<Pressure>,
}

impl Account {
    /// What the kernel can drop without swap: file cache that is on the file lists (shmem is not) and not being written,
    /// and slab that says so.
    pub fn reclaimable_bytes(&self) -> Option<u64> {
        let lists = self.inactive_file_bytes?.saturating_add(self.active_file_bytes?);
        let busy = self.file_dirty_bytes.unwrap_or(0).saturating_add(self.file_writeback_bytes.unwrap_or(0));
        Some(lists.saturating_sub(busy).saturating_add(self.slab_reclaimable_bytes.unwrap_or(0)))
    }

    pub fn nonreclaimable_bytes(&self) -> Option<u64> {
        Some(self.charge_bytes?.saturating_sub(self.reclaimable_bytes()?))
    }

    /// As the kubelet computes it for eviction and `kubectl top` (cAdvisor's working set).
    pub fn working_set_bytes(&self) -> Option<u64> {
        Some(self.charge_bytes?.saturating_sub(self.inactive_file_bytes?))
    }

    /// What may still be charged before the kernel must reclaim.
    pub fn headroom_bytes(&self) -> Option<u64> {
        Some(self.effective_limit_bytes?.saturating_sub(self.charge_bytes?))
    }

    /// What may still be charged before nothing is left to reclaim without swap.
    pub fn headroom_nonreclaimable_bytes(&self) -> Option<u64> {
        Some(self.effective_limit_bytes?.saturating_sub(self.nonreclaimable_bytes()?))
    }

    /// In the hierarchy that has the memory controller, as this host shows it.
    pub fn at(directory: &Path, facts: &CgroupFacts) -> Option<Account> {
        Account::read(directory, facts.memory_path.as_deref()?, facts.memory_version?)
    }

    /// Of the cgroup that a process is in. `None` too: it left meanwhile.
    pub fn of_member(pid: u32, facts: &CgroupFacts) -> Option<Account> {
        let directory = || facts.memory_directory(&read_memberships(pid).ok()?);
        let at = directory()?;
        Account::read_if(&at, facts.memory_path.as_deref()?, facts.memory_version?, || {
            directory().as_ref() == Some(&at)
        })
    }

    /// `directory`: of the cgroup; `root`: mount point of its hierarchy. `None`: it is gone or not readable.
    pub fn read(directory: &Path, root: &Path, version: u8) -> Option<Account> {
        Account::read_if(directory, root, version, || true)
    }

    /// What moves with the charge, read again; what else there is stands, limits and most of what is counted. False: the
    /// cgroup is gone, or its limit is another, and nothing of this counts.
    pub fn divide_again(&mut self, charge: &Charge) -> bool {
        let divide = if self.version == 1 { v1::divide } else { v2::divide };
        let limits = |of: &Account| (of.limit_bytes, of.effective_limit_bytes);
        let (directory, before) = (self.path.clone(), limits(self));
        divide(self, &directory, &text);
        // Last: as long as its file can be read nobody else has its name.
        self.charge_bytes = charge.read();
        self.charge_bytes.is_some() && limits(self) == before
    }

    /// `is_meant` is asked of the cgroup that is read, before it is.
    fn read_if(directory: &Path, root: &Path, version: u8, is_meant: impl FnOnce() -> bool) -> Option<Account> {
        // Its inode is the cgroup: one that ended meanwhile has said only half, and another may have its name by now.
        let inode = || fs::metadata(directory).ok().map(|of| of.ino());
        let before = inode()?;
        if !is_meant() {
            return None;
        }
        let account = if version == 1 { v1::read } else { v2::read };
        let mut account = account(directory, root, &text);
        account.path = directory.to_path_buf();
        account.version = version;
        (account.charge_bytes.is_some() && inode() == Some(before)).then_some(account)
    }
}

/// The charge of a cgroup alone, again and again: a hundredth of what its account costs.
#[derive(Debug)]
pub struct Charge(File);

impl Charge {
    pub fn open(directory: &Path, version: u8) -> Option<Charge> {
        let file = if version == 1 { v1::CHARGE } else { v2::CHARGE };
        File::open(directory.join(file)).ok().map(Charge)
    }

    /// `None`: it was removed.
    pub fn read(&self) -> Option<u64> {
        let mut digits = [0; 32];
        let bytes = self.0.read_at(&mut digits, 0).ok()?;
        std::str::from_utf8(digits.get(..bytes)?).ok()?.trim().parse().ok()
    }
}

/// Where a memory cgroup is inside its hierarchy, and what the kubelet calls it.
pub fn names_of(directory: &Path, facts: &CgroupFacts) -> Option<(String, Option<kubelet::Names>)> {
    let (place, _) = facts.inside(directory)?;
    let names = kubelet::Names::on_node(&identity::Identity::of(&place));
    Some((place, names))
}

/// Text of a file in a directory.
type Files<'a> = &'a dyn Fn(&Path, &str) -> Option<String>;

fn text(directory: &Path, file: &str) -> Option<String> {
    record(&File::open(directory.join(file)).ok()?, str::to_owned).ok()
}

/// A number alone in a file; `max` and no number: `None`.
fn number(text: Option<String>) -> Option<u64> {
    text?.trim().parse().ok()
}

/// The nearest of a cgroup and those above it that sets the limit in force.
fn who_limits(
    directory: &Path,
    root: &Path,
    lowest_bytes: Option<u64>,
    own: impl Fn(&Path) -> Option<u64>,
) -> Option<PathBuf> {
    let lowest_bytes = lowest_bytes?;
    above(directory, root).find(|at| own(at) == Some(lowest_bytes)).map(Path::to_path_buf)
}

/// A cgroup and those above it, up to the root of what is mounted.
fn above<'a>(directory: &'a Path, root: &'a Path) -> impl Iterator<Item = &'a Path> {
    directory.ancestors().take_while(move |at| at.starts_with(root))
}

/// Value of a `key value` line.
fn entry(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// All `key value` lines.
fn entries(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key, value.trim().parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_this_process_is_read() {
        let facts = crate::host::facts::read_cgroup();
        let memberships = read_memberships(std::process::id()).unwrap();
        let Some(directory) = facts.memory_directory(&memberships) else { return };
        let (version, root) = (facts.memory_version.unwrap(), facts.memory_path.unwrap());
        let account = Account::read(&directory, &root, version).unwrap();
        assert_eq!(account.path, directory);
        assert!(account.effective_limit_bytes.is_some() || account.limit_path.is_none());
        assert!(account.anon_bytes.is_some() && account.nonreclaimable_bytes() <= account.charge_bytes);
    }
}
