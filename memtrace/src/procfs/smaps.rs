//! `/proc/PID/smaps_rollup`: a process's memory by a walk of its page tables, exact where the counters are not. The walk
//! costs time in proportion to the mapped memory and holds the mmap lock for reading.
use super::{ProcError, kib_line, text};

/// All in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    pub rss_bytes: u64,
    pub pss_bytes: u64,
    pub private_clean_bytes: u64,
    pub private_dirty_bytes: u64,
    pub anonymous_bytes: u64,
    /// MADV_FREE pages still resident and not written since.
    pub lazy_free_bytes: u64,
    pub anon_huge_pages_bytes: u64,
    pub shmem_pmd_mapped_bytes: u64,
    pub file_pmd_mapped_bytes: u64,
    pub swap_bytes: u64,
    pub locked_bytes: u64,
}

impl Rollup {
    /// Lines a kernel does not print count as 0; without `Rss` it is no rollup.
    pub(super) fn parse(text: &str) -> Option<Rollup> {
        let of = |key| kib_line(text, key).unwrap_or(0);
        Some(Rollup {
            rss_bytes: kib_line(text, "Rss")?,
            pss_bytes: of("Pss"),
            private_clean_bytes: of("Private_Clean"),
            private_dirty_bytes: of("Private_Dirty"),
            anonymous_bytes: of("Anonymous"),
            lazy_free_bytes: of("LazyFree"),
            anon_huge_pages_bytes: of("AnonHugePages"),
            shmem_pmd_mapped_bytes: of("ShmemPmdMapped"),
            file_pmd_mapped_bytes: of("FilePmdMapped"),
            swap_bytes: of("Swap"),
            locked_bytes: of("Locked"),
        })
    }

    /// Needs ptrace rights over the process. Kernel threads and zombies have no memory: [`ProcError::Vanished`].
    pub fn read(pid: u32) -> Result<Rollup, ProcError> {
        Self::parse(&text(pid, "smaps_rollup")?).ok_or(ProcError::Syntax { pid, file: "smaps_rollup" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:      1000 kB\nPss:       900 kB\n\
        Pss_Dirty:  12 kB\nPrivate_Dirty:  700 kB\nAnonymous: 600 kB\nLazyFree:  64 kB\nAnonHugePages: 2048 kB\n\
        Swap:  3 kB\nSwapPss:  1 kB\nLocked: 0 kB\n";

    #[test]
    fn rollup_is_in_bytes() {
        let rollup = Rollup::parse(TEXT).unwrap();
        assert_eq!(rollup.rss_bytes, 1000 * 1024);
        assert_eq!(rollup.pss_bytes, 900 * 1024);
        assert_eq!(rollup.lazy_free_bytes, 64 * 1024);
        assert_eq!(rollup.anon_huge_pages_bytes, 2 << 20);
        assert_eq!(rollup.swap_bytes, 3 * 1024);
        assert_eq!(rollup.file_pmd_mapped_bytes, 0, "absent on old kernels");
        assert_eq!(Rollup::parse("nothing\n"), None);
    }

    #[test]
    fn this_process_has_a_rollup() {
        let rollup = Rollup::read(std::process::id()).unwrap();
        assert!(rollup.rss_bytes >= rollup.anonymous_bytes && rollup.anonymous_bytes > 0);
    }
}
