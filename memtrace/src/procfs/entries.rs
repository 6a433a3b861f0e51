//! Files of the kernel that have 64 bits for each page or frame: `/proc/PID/pagemap`, `/proc/kpagecgroup`,
//! `/proc/kpageflags`; see Documentation/admin-guide/mm/pagemap.rst.
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

const ENTRY_BYTES: usize = 8;
/// Entries fetched at a time (256 KiB, 128 MiB of memory with pages of 4 KiB).
const FETCHED: u64 = 1 << 15;
/// Bits of an entry of pagemap.
pub(super) const PRESENT: u64 = 1 << 63;
pub(super) const SWAPPED: u64 = 1 << 62;
pub(super) const FILE_OR_SHARED: u64 = 1 << 61;
pub(super) const FRAME: u64 = (1 << 55) - 1;

/// The entries of some pages, with their numbers; those beyond the end of the file are left out.
pub(super) fn each_entry(file: &File, mut pages: Range<u64>, mut on_entry: impl FnMut(u64, u64)) -> io::Result<()> {
    let mut buffer = vec![0; (pages.end.saturating_sub(pages.start)).min(FETCHED) as usize * ENTRY_BYTES];
    while pages.start < pages.end {
        let wanted = (pages.end - pages.start).min(FETCHED) as usize * ENTRY_BYTES;
        let read = file.read_at(&mut buffer[..wanted], pages.start.saturating_mul(ENTRY_BYTES as u64))?;
        if read < ENTRY_BYTES {
            break;
        }
        for entry in buffer[..read].chunks_exact(ENTRY_BYTES) {
            on_entry(pages.start, entry.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
            pages.start += 1;
        }
    }
    Ok(())
}

/// That of one page; `None`: it is not there, or not for this user.
pub(super) fn entry(file: &File, page: u64) -> Option<u64> {
    let mut entry = [0; ENTRY_BYTES];
    file.read_exact_at(&mut entry, page.saturating_mul(ENTRY_BYTES as u64)).ok()?;
    Some(u64::from_ne_bytes(entry))
}
