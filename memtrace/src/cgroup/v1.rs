use super::{Account, Files, entries, entry, number, who_limits};
use std::path::Path;

/// Unlimited is the largest count of pages in bytes (PAGE_COUNTER_MAX): whatever is beyond any machine.
const UNLIMITED: u64 = 1 << 62;

pub(super) const CHARGE: &str = "memory.usage_in_bytes";

fn limit(bytes: Option<u64>) -> Option<u64> {
    bytes.filter(|bytes| *bytes < UNLIMITED)
}

pub(super) fn own_limit(at: &Path, files: Files<'_>) -> Option<u64> {
    limit(number(files(at, "memory.limit_in_bytes")))
}

pub(super) fn read(directory: &Path, root: &Path, files: Files<'_>) -> Account {
    let of = |name: &str| number(files(directory, name));
    let own_limit = |at: &Path| own_limit(at, files);
    // TCP is counted only once it has been limited: its 0 says nothing before.
    let counts_tcp = limit(of("memory.kmem.tcp.limit_in_bytes")).is_some();
    let mut account = Account {
        // A file that only the root has.
        is_root: files(directory, "cgroup.sane_behavior").is_some(),
        limit_bytes: own_limit(directory),
        peak_bytes: of("memory.max_usage_in_bytes"),
        sock_bytes: of("memory.kmem.tcp.usage_in_bytes").filter(|bytes| counts_tcp || *bytes > 0),
        ..Account::default()
    };
    divide(&mut account, directory, files);
    account.limit_path = who_limits(directory, root, account.effective_limit_bytes, own_limit);
    account.charge_bytes = of(CHARGE);
    account
}

/// What moves with the charge. `total_…` lines: it includes the cgroups below too.
pub(super) fn divide(account: &mut Account, directory: &Path, files: Files<'_>) {
    let of = |name: &str| number(files(directory, name));
    account.kernel_bytes = of("memory.kmem.usage_in_bytes");
    account.limit_hits = of("memory.failcnt");
    account.oom_kills = files(directory, "memory.oom_control").and_then(|text| entry(&text, "oom_kill"));
    let stat = files(directory, "memory.stat").unwrap_or_default();
    for (key, bytes) in entries(&stat) {
        let of = match key {
            "total_rss" => &mut account.anon_bytes,
            "total_inactive_anon" => &mut account.inactive_anon_bytes,
            "total_active_anon" => &mut account.active_anon_bytes,
            "total_unevictable" => &mut account.unevictable_bytes,
            "total_cache" => &mut account.file_bytes,
            "total_shmem" => &mut account.shmem_bytes,
            "total_mapped_file" => &mut account.file_mapped_bytes,
            "total_dirty" => &mut account.file_dirty_bytes,
            "total_writeback" => &mut account.file_writeback_bytes,
            "total_inactive_file" => &mut account.inactive_file_bytes,
            "total_active_file" => &mut account.active_file_bytes,
            "total_swap" => &mut account.swap_bytes,
            "hierarchical_memory_limit" => {
                account.effective_limit_bytes = limit(Some(bytes));
                continue;
            }
            _ => continue,
        };
        *of = Some(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_and_no_limit_is_none() {
        let files = |at: &Path, name: &str| {
            Some(match name {
                "memory.usage_in_bytes" => "1000\n".to_owned(),
                "memory.limit_in_bytes" if at == Path::new("/m/pod") => "4096\n".to_owned(),
                "memory.limit_in_bytes" | "memory.kmem.tcp.limit_in_bytes" => "9223372036854771712\n".to_owned(),
                "memory.kmem.tcp.usage_in_bytes" => "0\n".to_owned(),
                "memory.oom_control" => "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n".to_owned(),
                "memory.stat" => "cache 1\nrss 2\nhierarchical_memory_limit 4096\ntotal_cache 300\ntotal_rss 600\n\
                    total_dirty 10\ntotal_writeback 5\ntotal_inactive_file 100\ntotal_active_file 50\nrubbish\n"
                    .to_owned(),
                _ => return None,
            })
        };
        let account = read(Path::new("/m/pod/x"), Path::new("/m"), &files);
        assert_eq!((account.limit_bytes, account.effective_limit_bytes), (None, Some(4096)));
        assert_eq!(account.limit_path.as_deref(), Some(Path::new("/m/pod")));
        let inside = read(Path::new("/m/other"), Path::new("/m"), &files);
        assert_eq!((inside.effective_limit_bytes, inside.limit_path), (Some(4096), None), "set by one out of sight");
        assert_eq!((account.anon_bytes, account.file_bytes, account.oom_kills), (Some(600), Some(300), Some(3)));
        assert_eq!((account.reclaimable_bytes(), account.nonreclaimable_bytes()), (Some(135), Some(865)));
        assert_eq!((account.working_set_bytes(), account.headroom_bytes()), (Some(900), Some(3096)));
        assert_eq!(account.headroom_nonreclaimable_bytes(), Some(3231));
        assert_eq!((account.swap_bytes, account.slab_reclaimable_bytes, account.sock_bytes), (None, None, None));
        assert_eq!((account.high_events, account.lazyfree_pages, account.dying_descendants), (None, None, None));
    }
}
