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
    let stat = files(directory, "memory.stat").unwrap_or_default();
    let events = files(directory, "memory.events").unwrap_or_default();
    let stat = entries(&stat, "");
    let kept = |key: &str| stat.get(key).copied();
    account.anon_bytes = kept("anon");
    account.inactive_anon_bytes = kept("inactive_anon");
    account.active_anon_bytes = kept("active_anon");
    account.unevictable_bytes = kept("unevictable");
    account.file_bytes = kept("file");
    account.shmem_bytes = kept("shmem");
    account.file_mapped_bytes = kept("file_mapped");
    account.file_dirty_bytes = kept("file_dirty");
    account.file_writeback_bytes = kept("file_writeback");
    account.inactive_file_bytes = kept("inactive_file");
    account.active_file_bytes = kept("active_file");
    account.kernel_bytes = kept("kernel");
    account.kernel_stack_bytes = kept("kernel_stack");
    account.page_tables_bytes = kept("pagetables");
    account.slab_reclaimable_bytes = kept("slab_reclaimable");
    account.slab_unreclaimable_bytes = kept("slab_unreclaimable");
    account.percpu_bytes = kept("percpu");
    account.sock_bytes = kept("sock");
    account.hugetlb_bytes = kept("hugetlb");
    account.lazyfree_pages = kept("pglazyfree");
    account.lazyfreed_pages = kept("pglazyfreed");
    account.low_events = entry(&events, "low");
    account.high_events = entry(&events, "high");
    account.oom_events = entry(&events, "oom");
    account.limit_hits = entry(&events, "max");
    account.oom_kills = entry(&events, "oom_kill");
    account.swap_bytes = number(files(directory, "memory.swap.current"));
    account.pressure = files(directory, "memory.pressure").and_then(|text| Pressure::parse(&text));
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
