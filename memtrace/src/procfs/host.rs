//! The memory of the whole host.
use super::psi::{self, Pressure};
use ::procfs::Current as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Several times of what the text has today, and what is read of it at once.
const VMSTAT_BYTES: usize = 32 << 10;
const PIECE_BYTES: usize = 2 << 10;
const ALLOCATED: &str = "pgalloc_";

/// MemAvailable and MemTotal of /proc/meminfo; `None`: not said.
pub fn memory_bytes() -> Option<(u64, u64)> {
    let info = ::procfs::Meminfo::current().ok()?;
    Some((info.mem_available?, info.mem_total))
}

/// Of all of it; `None`: a kernel without it.
pub fn pressure() -> Option<Pressure> {
    Pressure::read(Path::new(psi::HOST))
}

/// All pages that the host has ever handed out, in bytes (`pgalloc_*` of /proc/vmstat): no cgroup uses more
/// than it did and went up here. Two ways lead past it: pages of hugetlbfs that the controller counts (6.7 and later), and
/// processes of v1 that take their charge along.
#[derive(Debug)]
pub struct Allocated(File);

impl Allocated {
    pub fn open() -> Option<Allocated> {
        File::open("/proc/vmstat").ok().map(Allocated)
    }

    /// `None`: not said.
    pub fn bytes(&self) -> Option<u64> {
        let mut text = Vec::new();
        loop {
            let filled = text.len();
            text.resize(filled + PIECE_BYTES, 0);
            let bytes = self.0.read_at(&mut text[filled..], filled as u64).ok()?;
            text.truncate(filled + bytes);
            let is_all = bytes == 0 || text.len() >= VMSTAT_BYTES;
            if let Some(pages) = allocated_pages(std::str::from_utf8(&text).ok()?, is_all) {
                return pages.checked_mul(::procfs::page_size());
            }
            if is_all {
                return None;
            }
        }
    }
}

/// The lines that say it are one after the other. `is_all`: no more will come; what ends with one of them may go on.
fn allocated_pages(vmstat: &str, is_all: bool) -> Option<u64> {
    let lines = vmstat.get(vmstat.find(ALLOCATED)?..)?;
    let is_other = |(at, _): &(usize, &str)| {
        let next = &lines[at + 1..];
        next.len() >= ALLOCATED.len() && !next.starts_with(ALLOCATED)
    };
    let end = lines.match_indices('\n').find(is_other).map(|(at, _)| at).or(is_all.then_some(lines.len()))?;
    let pages = lines[..end].lines().map_while(|line| line.strip_prefix(ALLOCATED)?.split_once(' ')?.1.parse().ok());
    pages.reduce(u64::wrapping_add)
}

/// As the kernel knows it (uname).
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Another after each reboot; see random(4).
pub fn boot_id() -> Option<String> {
    Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_was_allocated_is_of_all_zones_and_only_grows() {
        let text = "nr_free_pages 9\npgalloc_dma 1\npgalloc_normal 20\npgfree_of_something 5\n";
        let said = text.find("20\n").unwrap() + 3;
        for end in 0..=text.len() {
            let whole = (end >= said + ALLOCATED.len()).then_some(21);
            assert_eq!(allocated_pages(&text[..end], false), whole, "{:?}", &text[..end]);
        }
        assert_eq!(allocated_pages(&text[..said], true), Some(21));
        assert_eq!(allocated_pages("pgfree 5\n", true), None);
        let allocated = Allocated::open().unwrap();
        let before = allocated.bytes().unwrap();
        // Into a buffer of its own that nobody has used before.
        let status =
            Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=8M", "count=1", "status=none"]).status();
        assert!(status.unwrap().success());
        assert!(allocated.bytes().unwrap() >= before + (8 << 20));
    }
}
