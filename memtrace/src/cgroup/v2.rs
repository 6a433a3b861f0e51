use super::{Account, Files, entry, number};
use std::path::Path;

pub(super) fn read(directory: &Path, root: &Path, files: Files<'_>) -> Account {
    let of = |name: &str| number(files(directory, name));
    let stat = files(directory, "memory.stat").unwrap_or_default();
    let events = files(directory, "memory.events").unwrap_or_default();
    let kept = |key: &str| entry(&stat, key);
    let above = directory.ancestors().take_while(|at| at.starts_with(root));
    Account {
        charge_bytes: of("memory.current"),
        limit_bytes: of("memory.max"),
        effective_limit_bytes: above.filter_map(|at| number(files(at, "memory.max"))).min(),
        high_bytes: of("memory.high"),
        peak_bytes: of("memory.peak"),
        anon_bytes: kept("anon"),
        file_bytes: kept("file"),
        shmem_bytes: kept("shmem"),
        file_mapped_bytes: kept("file_mapped"),
        file_dirty_bytes: kept("file_dirty"),
        file_writeback_bytes: kept("file_writeback"),
        inactive_file_bytes: kept("inactive_file"),
        active_file_bytes: kept("active_file"),
        kernel_bytes: kept("kernel"),
        kernel_stack_bytes: kept("kernel_stack"),
        page_tables_bytes: kept("pagetables"),
        slab_reclaimable_bytes: kept("slab_reclaimable"),
        slab_unreclaimable_bytes: kept("slab_unreclaimable"),
        sock_bytes: kept("sock"),
        swap_bytes: of("memory.swap.current"),
        swap_limit_bytes: of("memory.swap.max"),
        limit_hits: entry(&events, "max"),
        oom_kills: entry(&events, "oom_kill"),
        ..Account::default()
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
                    ("/m/a/b", "memory.stat") => {
                        "anon 3000\nfile 1500\nkernel 400\nshmem 500\nfile_dirty 100\ninactive_file 700\n\
                         active_file 300\nslab_reclaimable 50\nslab_unreclaimable 60\n"
                    }
                    _ => return None,
                }
                .to_owned(),
            )
        };
        let account = read(Path::new("/m/a/b"), Path::new("/m"), &files);
        assert_eq!((account.limit_bytes, account.effective_limit_bytes), (None, Some(8000)));
        assert_eq!((account.limit_hits, account.oom_kills, account.peak_bytes), (Some(7), Some(1), None));
        assert_eq!((account.anon_bytes, account.file_bytes), (Some(3000), Some(1500)));
        assert_eq!((account.reclaimable_bytes(), account.nonreclaimable_bytes()), (Some(950), Some(4050)));
    }
}
