//! Which pages of a process are resident: PAGEMAP_SCAN where the kernel has it (6.7), else `/proc/PID/pagemap` itself.
//! Neither maps a page nor reads its content. The zero page is never counted: RSS does not count it either.
use super::scan::{self, Region};
use super::{ProcError, error, path};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Regions fetched at a time (96 KiB).
const REGIONS: usize = 1 << 12;
/// Entries of pagemap fetched at a time (256 KiB, 128 MiB of memory with pages of 4 KiB).
const ENTRIES: usize = 1 << 15;
const ENTRY_BYTES: usize = 8;
/// An allocation of this size is always a new mapping (glibc: DEFAULT_MMAP_THRESHOLD_MAX is 32 MiB).
const FRESH_BYTES: usize = 33 << 20;
/// Bits of an entry, see Documentation/admin-guide/mm/pagemap.rst.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const FRAME: u64 = (1 << 55) - 1;

/// Pages in a row that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub range: Range<u64>,
    pub state: PageState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageState {
    Resident {
        /// Mapped by one entry of 2 MiB or more; `None`: this kernel does not say.
        huge: Option<bool>,
    },
    Swapped,
}

/// The page table of one address space, as it was when opened: an exec or a new process with the same pid is not it.
#[derive(Debug)]
pub struct Pagemap {
    pid: u32,
    file: File,
    by_scan: bool,
    page_bytes: u64,
    /// Frame of the zero page; `None`: not known, or this user sees no frames.
    zero_frame: Option<u64>,
}

impl Pagemap {
    /// Needs ptrace rights over the process.
    pub fn open(pid: u32) -> Result<Pagemap, ProcError> {
        let file = File::open(path(pid, "pagemap")).map_err(|e| error(pid, "pagemap", e))?;
        let by_scan = scan::scan(&file, &(0..0), &mut [Region::default()]).is_ok();
        let zero_frame = if by_scan { None } else { zero_frame() };
        Ok(Pagemap { pid, file, by_scan, page_bytes: ::procfs::page_size(), zero_frame })
    }

    /// Whether huge pages are told from others.
    pub fn tells_huge(&self) -> bool {
        self.by_scan
    }

    /// Zero pages are told from memory.
    pub fn tells_zero(&self) -> bool {
        self.by_scan || self.zero_frame.is_some()
    }

    /// Resident and swapped pages of a range of whole pages, by address; what is neither is left out.
    pub fn scan(&self, range: &Range<u64>, on_run: &mut dyn FnMut(Run)) -> Result<(), ProcError> {
        let scanned = if self.by_scan { self.regions(range, on_run) } else { self.entries(range, on_run) };
        scanned.map_err(|e| error(self.pid, "pagemap", e))
    }

    fn regions(&self, range: &Range<u64>, on_run: &mut dyn FnMut(Run)) -> io::Result<()> {
        let mut regions = vec![Region::default(); REGIONS];
        let (mut rest, mut seen) = (range.clone(), range.start);
        while rest.start < rest.end {
            let (found, walked_to) = scan::scan(&self.file, &rest, &mut regions)?;
            for region in regions.iter().take(found) {
                let range = unseen(&mut seen, region);
                let state = match region.categories {
                    _ if range.is_empty() => continue,
                    c if c & scan::PFNZERO != 0 => continue,
                    c if c & scan::PRESENT != 0 => PageState::Resident { huge: Some(c & scan::HUGE != 0) },
                    _ => PageState::Swapped,
                };
                on_run(Run { range, state });
            }
            // No progress: the address space is gone.
            if walked_to <= rest.start {
                break;
            }
            rest.start = walked_to;
        }
        Ok(())
    }

    fn entries(&self, range: &Range<u64>, on_run: &mut dyn FnMut(Run)) -> io::Result<()> {
        let mut buffer = vec![0; ENTRIES * ENTRY_BYTES];
        let mut open: Option<Run> = None;
        let mut address = range.start;
        while address < range.end {
            let pages = ((range.end - address).div_ceil(self.page_bytes)).min(ENTRIES as u64) as usize;
            let wanted = &mut buffer[..pages * ENTRY_BYTES];
            let read = self.file.read_at(wanted, address / self.page_bytes * ENTRY_BYTES as u64)?;
            if read < ENTRY_BYTES {
                break;
            }
            for entry in wanted[..read].chunks_exact(ENTRY_BYTES) {
                let entry = entry.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                let next = address.saturating_add(self.page_bytes);
                match (self.state(entry), &mut open) {
                    (Some(state), Some(run)) if run.state == state => run.range.end = next,
                    (state, open) => {
                        let done = std::mem::replace(open, state.map(|state| Run { range: address..next, state }));
                        done.into_iter().for_each(&mut *on_run);
                    }
                }
                address = next;
            }
        }
        open.into_iter().for_each(on_run);
        Ok(())
    }

    fn state(&self, entry: u64) -> Option<PageState> {
        if entry & PRESENT != 0 {
            let is_zero = self.zero_frame == Some(entry & FRAME);
            (!is_zero).then_some(PageState::Resident { huge: None })
        } else {
            (entry & SWAPPED != 0).then_some(PageState::Swapped)
        }
    }
}

/// What of a region is behind all before it: among huge pages Linux 6.18 goes back and reports some a second time.
fn unseen(seen: &mut u64, region: &Region) -> Range<u64> {
    let start = region.start.max(*seen);
    *seen = region.end.max(*seen);
    start..region.end
}

/// Two pages of our own that were only read share one frame: it is the zero page's.
fn zero_frame() -> Option<u64> {
    let page = ::procfs::page_size();
    let block = vec![0_u8; FRESH_BYTES];
    let base = block.as_ptr() as u64;
    let file = File::open(path(std::process::id(), "pagemap")).ok()?;
    let frame_at = |offset: usize| {
        std::hint::black_box(*block.get(offset)?);
        let mut entry = [0; ENTRY_BYTES];
        file.read_exact_at(&mut entry, base.checked_add(offset as u64)? / page * ENTRY_BYTES as u64).ok()?;
        let entry = u64::from_ne_bytes(entry);
        (entry & PRESENT != 0 && entry & FRAME != 0).then_some(entry & FRAME)
    };
    // At the end, where no huge page fits.
    let end = block.len().checked_sub(2 * page as usize)?;
    let (first, second) = (frame_at(end)?, frame_at(end + page as usize)?);
    (first == second).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: usize = 64;

    #[test]
    fn what_is_reported_twice_counts_once() {
        let mut seen = 10;
        let reported = [(10, 20), (30, 40), (10, 20), (30, 40), (35, 50), (50, 60)];
        let ranges = reported.map(|(start, end)| unseen(&mut seen, &Region { start, end, categories: 0 }));
        assert_eq!(ranges.map(|range| range.count()), [10, 10, 0, 0, 10, 10]);
    }

    /// Runs over own memory of which some pages were written, some only read, some neither.
    fn resident(by_scan: bool) -> Option<u64> {
        let page = ::procfs::page_size() as usize;
        let mut block = vec![0_u8; FRESH_BYTES];
        let first = FRESH_BYTES - (PAGES + 6) * page - block.as_ptr() as usize % page;
        for at in (0..PAGES).step_by(2) {
            block[first + at * page] = 1;
        }
        std::hint::black_box(block[first + PAGES * page]);
        let mut pagemap = Pagemap::open(std::process::id()).unwrap();
        if by_scan && !pagemap.by_scan {
            return None;
        }
        pagemap.zero_frame = zero_frame();
        pagemap.by_scan = by_scan;
        if !pagemap.tells_zero() {
            return None;
        }
        let start = (block.as_ptr() as usize + first) as u64;
        let mut bytes = 0;
        let mut last = start;
        let range = start..start + ((PAGES + 4) * page) as u64;
        pagemap
            .scan(&range, &mut |run| {
                assert!(run.range.start >= last && run.range.end <= range.end, "ascending and inside");
                last = run.range.end;
                assert!(matches!(run.state, PageState::Resident { .. }), "nothing is swapped");
                bytes += run.range.end - run.range.start;
            })
            .unwrap();
        std::hint::black_box(&mut block);
        Some(bytes / page as u64)
    }

    #[test]
    fn written_pages_are_counted_and_zero_pages_are_not() {
        for by_scan in [true, false] {
            if let Some(pages) = resident(by_scan) {
                assert_eq!(pages, PAGES as u64 / 2, "by scan: {by_scan}");
            }
        }
    }

    #[test]
    fn nobody_has_vanished() {
        assert!(matches!(Pagemap::open(1 << 30), Err(ProcError::Vanished { .. })));
    }
}
