//! The memory of the whole host.
use super::psi::{self, Pressure};
use ::procfs::Current as _;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Several times of what the text has today.
const VMSTAT_BYTES: usize = 32 << 10;

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
        let (mut text, mut filled) = ([0; VMSTAT_BYTES], 0);
        while let Ok(bytes @ 1..) = self.0.read_at(text.get_mut(filled..)?, filled as u64) {
            filled += bytes;
        }
        allocated_pages(std::str::from_utf8(&text[..filled]).ok()?)?.checked_mul(::procfs::page_size())
    }
}

fn allocated_pages(vmstat: &str) -> Option<u64> {
    let zones = vmstat.get(vmstat.find("pgalloc_")?..)?.lines();
    let pages = zones.map_while(|line| line.strip_prefix("pgalloc_")?.split_once(' ')?.1.parse().ok());
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
        assert_eq!(allocated_pages("nr_free_pages 9\npgalloc_dma 1\npgalloc_normal 20\npgfree 5\n"), Some(21));
        assert_eq!(allocated_pages("pgfree 5\n"), None);
        let allocated = Allocated::open().unwrap();
        let before = allocated.bytes().unwrap();
        // Into a buffer of its own that nobody has used before.
        let status =
            Command::new("dd").args(["if=/dev/zero", "of=/dev/null", "bs=8M", "count=1", "status=none"]).status();
        assert!(status.unwrap().success());
        assert!(allocated.bytes().unwrap() >= before + (8 << 20));
    }
}
