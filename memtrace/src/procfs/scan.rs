//! The PAGEMAP_SCAN ioctl (Linux 6.7, include/uapi/linux/fs.h). The only file here with `unsafe`: nothing safe wraps it.
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;

pub(super) const PRESENT: u64 = 1 << 3;
pub(super) const SWAPPED: u64 = 1 << 4;
pub(super) const PFNZERO: u64 = 1 << 5;
pub(super) const HUGE: u64 = 1 << 6;

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;

/// `struct page_region`: pages in a row with the same categories.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Debug, Default)]
struct Argument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Fills `regions` from the start of `range`: how many there are, and up to where it looked. Changes nothing in the
/// process. ENOTTY: a kernel before 6.7.
pub(super) fn scan(pagemap: &File, range: &Range<u64>, regions: &mut [Region]) -> io::Result<(usize, u64)> {
    let mut argument = Argument {
        size: size_of::<Argument>() as u64,
        start: range.start,
        end: range.end,
        vec: regions.as_mut_ptr() as u64,
        vec_len: regions.len() as u64,
        category_anyof_mask: PRESENT | SWAPPED,
        return_mask: PRESENT | SWAPPED | PFNZERO | HUGE,
        ..Argument::default()
    };
    // SAFETY: the argument outlives the call and has the size it says; the kernel writes at most `vec_len` regions to
    // `vec`, which is exactly an exclusively borrowed slice of that layout.
    let found = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut argument) };
    let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
    Ok((found.min(regions.len()), argument.walk_end))
}
