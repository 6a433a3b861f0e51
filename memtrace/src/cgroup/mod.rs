//! The memory controller's account of a cgroup, v1 and v2 in one model; see Documentation/admin-guide/cgroup-v2.rst and
//! cgroup-v1/memory.rst.
mod v1;
mod v2;

use std::fs;
use std::path::{Path, PathBuf};

/// A cgroup with all below it, in bytes. `None`: this kernel or version does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its directory.
    pub path: PathBuf,
    /// 1 or 2.
    pub version: u8,
    pub charge_bytes: Option<u64>,
    /// Its own; `None`: unlimited, or unknown.
    pub limit_bytes: Option<u64>,
    /// The lowest of its own and those above it.
    pub effective_limit_bytes: Option<u64>,
    /// v2 memory.high: above it allocations are slowed down.
    pub high_bytes: Option<u64>,
    pub peak_bytes: Option<u64>,
    pub anon_bytes: Option<u64>,
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
    pub sock_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    pub swap_limit_bytes: Option<u64>,
    /// Times the limit was hit (v1 failcnt, v2 events max).
    pub limit_hits: Option<u64>,
    pub oom_kills: Option<u64>,
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

    /// `directory`: of the cgroup; `root`: mount point of its hierarchy. `None`: it is gone or not readable.
    pub fn read(directory: &Path, root: &Path, version: u8) -> Option<Account> {
        let files = |at: &Path, name: &str| fs::read_to_string(at.join(name)).ok();
        let account = if version == 1 { v1::read } else { v2::read };
        let mut account = account(directory, root, &files);
        account.path = directory.to_path_buf();
        account.version = version;
        account.charge_bytes.is_some().then_some(account)
    }
}

/// Text of a file in a directory.
type Files<'a> = &'a dyn Fn(&Path, &str) -> Option<String>;

/// A number alone in a file; `max` and no number: `None`.
fn number(text: Option<String>) -> Option<u64> {
    text?.trim().parse().ok()
}

/// Value of a `key value` line.
fn entry(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_of_this_process_is_read() {
        let facts = crate::host::facts::read_cgroup();
        let memberships = crate::procfs::cgroup::read_memberships(std::process::id()).unwrap();
        let Some(directory) = facts.memory_directory(&memberships) else { return };
        let (version, root) = (facts.memory_version.unwrap(), facts.memory_path.unwrap());
        let account = Account::read(&directory, &root, version).unwrap();
        assert_eq!(account.path, directory);
        assert!(account.anon_bytes.is_some() && account.nonreclaimable_bytes() <= account.charge_bytes);
    }
}
