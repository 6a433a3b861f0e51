use super::{Account, Files, above, entries, entry, number, who_limits};
use crate::procfs::psi::Pressure;
use std::path::Path;

pub(super) const CHARGE: &str = "memory.current";

pub(super) fn own_limit(at: &Path, files: Files<'_>) -> Option<u64> {
    number(files(at, "memory.max"))
}

pub(super) fn read(directory: &Path, root: &Path, files: Files<'_>) -> Account {
    let of = |name: &str| number(files(directory, name));
    let own_limit = |at: &Path| own_limit(at, files);
    let effective_limit_bytes = above(directory, root).filter_map(own_limit).min();
    let mut account = Account {
        effective_limit_bytes,
        limit_path: who_limits(directory, root, effective_limit_bytes, own_limit),
        high_bytes: of("memory.high"),
        peak_bytes: of("memory.peak"),
        swap_limit_bytes: of("memory.swap.max"),
        dying_descendants: files(directory, "cgroup.stat").and_then(|text| entry(&text, "nr_dying_descendants")),
        ..Account::default()
    };
    divide(&mut account, directory, files);
    account.charge_bytes = of(CHARGE);
    account
}

/// What moves with the charge.
pub(super) fn divide(account: &mut Account, directory: &Path, files: Files<'_>) {
    account.limit_bytes = own_limit(directory, files);
    account.swap_bytes = number(files(directory, "memory.swap.current"));
    account.pressure = files(directory, "memory.pressure").and_then(|text| Pressure::parse(&text));
    let events = files(directory, "memory.events").unwrap_or_default();
    for (key, count) in entries(&events) {
        let of = match key {
            "low" => &mut account.low_events,
            "high" => &mut account.high_events,
            "oom" => &mut account.oom_events,
            "max" => &mut account.limit_hits,
            "oom_kill" => &mut account.oom_kills,
            _ => continue,
        };
        *of = Some(count);
    }
    let stat = files(directory, "memory.stat").unwrap_or_default();
    for (key, bytes) in entries(&stat) {
        let of = match key {
            "anon" => &mut account.anon_bytes,
            "inactive_anon" => &mut account.inactive_anon_bytes,
            "active_anon" => &mut account.active_anon_bytes,
            "unevictable" => &mut account.unevictable_bytes,
            "file" => &mut account.file_bytes,
            "shmem" => &mut account.shmem_bytes,
            "file_mapped" => &mut account.file_mapped_bytes,
            "file_dirty" => &mut account.file_dirty_bytes,
            "file_writeback" => &mut account.file_writeback_bytes,
            "inactive_file" => &mut account.inactive_file_bytes,
            "active_file" => &mut account.active_file_bytes,
            "kernel" => &mut account.kernel_bytes,
            "kernel_stack" => &mut account.kernel_stack_bytes,
            "pagetables" => &mut account.page_tables_bytes,
            "slab_reclaimable" => &mut account.slab_reclaimable_bytes,
            "slab_unreclaimable" => &mut account.slab_unreclaimable_bytes,
            "percpu" => &mut account.percpu_bytes,
            "sock" => &mut account.sock_bytes,
            "hugetlb" => &mut account.hugetlb_bytes,
            "pglazyfree" => &mut account.lazyfree_pages,
            "pglazyfreed" => &mut account.lazyfreed_pages,
            _ => continue,
        };
        *of = Some(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_above_counts() {
        let files = |at: &Path, name: &str| {
            Some(
                match (at.to_str()?, name) {
                    ("/m/a/b", "memory.current") => "5000\n",
                    ("/m/a/b", "memory.max") => "max\n",
                    ("/m/a", "memory.max") => "8000\n",
                    ("/", "memory.max") => "1\n",
                    ("/m/a/b", "memory.events") => "low 0\nhigh 1\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
                    ("/m/a/b", "memory.pressure") => "some avg10=0.00 avg60=0.00 avg300=2.50 total=3\n",
                    ("/m/a/b", "memory.stat") => {
                        "anon 3000\nfile 1500\nkernel 400\nshmem 500\nfile_dirty 100\ninactive_file 700\n\
                         active_file 300\nslab_reclaimable 50\nslab_unreclaimable 60\npglazyfree 9\npglazyfreed 4\n"
                    }
                    _ => return None,
                }
                .to_owned(),
            )
        };
        let account = read(Path::new("/m/a/b"), Path::new("/m"), &files);
        assert_eq!((account.limit_bytes, account.effective_limit_bytes), (None, Some(8000)));
        assert_eq!(account.limit_path.as_deref(), Some(Path::new("/m/a")));
        assert_eq!((account.low_events, account.high_events, account.oom_events), (Some(0), Some(1), Some(2)));
        assert_eq!((account.lazyfree_pages, account.lazyfreed_pages), (Some(9), Some(4)));
        assert_eq!((account.working_set_bytes(), account.headroom_bytes()), (Some(4300), Some(3000)));
        assert_eq!((account.limit_hits, account.oom_kills, account.peak_bytes), (Some(7), Some(1), None));
        assert_eq!((account.anon_bytes, account.file_bytes), (Some(3000), Some(1500)));
        assert_eq!(account.pressure.map(|pressure| pressure.some.avg300_percent), Some(2.5));
        assert_eq!((account.reclaimable_bytes(), account.nonreclaimable_bytes()), (Some(950), Some(4050)));
    }
}
