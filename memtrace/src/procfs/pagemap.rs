//! Which pages of a process are resident: PAGEMAP_SCAN where the kernel has it (6.7), else `/proc/PID/pagemap` itself.
//! Neither maps a page nor reads its content. The zero page is never counted: RSS does not count it either.
use super::entries::{FRAME, PRESENT, SWAPPED, each_entry, entry};
use super::hugezero::{self, HugeZero};
use super::scan::{self, Region};
use super::{ProcError, error, path};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

/// Regions fetched at a time (96 KiB).
const REGIONS: usize = 1 << 12;
/// Two whole pages of up to 64 KiB, wherever they begin.
const UNWRITTEN_BYTES: usize = 3 << 16;
/// Among the program's zeroed variables: too few for a huge page, which is why it is no allocation, which may lie beside
/// another and be mapped by the huge zero page.
static UNWRITTEN: [AtomicU8; UNWRITTEN_BYTES] = [const { AtomicU8::new(0) }; UNWRITTEN_BYTES];
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
    /// Flags of frames; `None`: not needed, or not for this user.
    frame_flags: Option<File>,
}

impl Pagemap {
    /// Needs ptrace rights over the process.
    pub fn open(pid: u32) -> Result<Pagemap, ProcError> {
        let file = File::open(path(pid, "pagemap")).map_err(|e| error(pid, "pagemap", e))?;
        let by_scan = scan::scan(&file, &(0..0), &mut [Region::default()]).is_ok();
        let zero_frame = if by_scan { None } else { zero_frame() };
        let frame_flags = if by_scan { None } else { hugezero::flags() };
        Ok(Pagemap { pid, file, by_scan, page_bytes: ::procfs::page_size(), zero_frame, frame_flags })
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
        let fetch = |rest: &Range<u64>, regions: &mut [Region]| scan::scan(&self.file, rest, regions);
        let scanned = if self.by_scan { regions(range, fetch, on_run) } else { self.entries(range, on_run) };
        scanned.map_err(|e| error(self.pid, "pagemap", e))
    }

    fn entries(&self, range: &Range<u64>, on_run: &mut dyn FnMut(Run)) -> io::Result<()> {
        let mut huge_zero = HugeZero::new(self.frame_flags.as_ref(), self.page_bytes);
        let mut open: Option<Run> = None;
        let pages = range.start / self.page_bytes..range.end.div_ceil(self.page_bytes);
        each_entry(&self.file, pages, |page, entry| {
            let address = page * self.page_bytes;
            let next = address.saturating_add(self.page_bytes);
            match (self.state(page, entry, &mut huge_zero), &mut open) {
                (Some(state), Some(run)) if run.state == state => run.range.end = next,
                (state, open) => {
                    let done = std::mem::replace(open, state.map(|state| Run { range: address..next, state }));
                    done.into_iter().for_each(&mut *on_run);
                }
            }
        })?;
        open.into_iter().for_each(on_run);
        Ok(())
    }

    fn state(&self, page: u64, entry: u64, huge_zero: &mut HugeZero<'_>) -> Option<PageState> {
        if entry & PRESENT != 0 {
            let frame = entry & FRAME;
            let is_zero = self.zero_frame == Some(frame) || huge_zero.has(page, frame);
            (!is_zero).then_some(PageState::Resident { huge: None })
        } else {
            (entry & SWAPPED != 0).then_some(PageState::Swapped)
        }
    }
}

/// All regions of a range; `fetch` gives the next few, and up to where it looked.
fn regions(
    range: &Range<u64>,
    fetch: impl Fn(&Range<u64>, &mut [Region]) -> io::Result<(usize, u64)>,
    on_run: &mut dyn FnMut(Run),
) -> io::Result<()> {
    let mut regions = vec![Region::default(); REGIONS];
    let mut rest = range.clone();
    while rest.start < rest.end {
        let (found, walked_to) = fetch(&rest, &mut regions)?;
        for region in regions.iter().take(found) {
            let state = match region.categories {
                c if c & scan::PFNZERO != 0 => continue,
                c if c & scan::PRESENT != 0 => PageState::Resident { huge: Some(c & scan::HUGE != 0) },
                _ => PageState::Swapped,
            };
            on_run(Run { range: region.start..region.end, state });
        }
        // With room left the whole range was walked. What the kernel says of that is no guide then: it is where an
        // earlier buffer of its own was full (fs/proc/task_mmu.c, do_pagemap_scan).
        if found < regions.len() {
            break;
        }
        rest.start = walked_to.max(regions.last().map_or(range.end, |last| last.end));
    }
    Ok(())
}

/// Two pages of our own that were only read share one frame: it is the zero page's.
fn zero_frame() -> Option<u64> {
    let page = ::procfs::page_size();
    let base = UNWRITTEN.as_ptr() as u64;
    let file = File::open(path(std::process::id(), "pagemap")).ok()?;
    let frame_at = |address: u64| {
        std::hint::black_box(UNWRITTEN.get(address.checked_sub(base)? as usize)?.load(Ordering::Relaxed));
        let entry = entry(&file, address / page)?;
        (entry & PRESENT != 0 && entry & FRAME != 0).then_some(entry & FRAME)
    };
    // Whole pages: what lies before and behind may have been written.
    let start = base.checked_next_multiple_of(page)?;
    let (first, second) = (frame_at(start)?, frame_at(start.checked_add(page)?)?);
    (first == second).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: usize = 64;
    /// Among the zeroed variables, as `UNWRITTEN` and for the same reason.
    static WRITTEN: [AtomicU8; (PAGES + 6) * 4096] = [const { AtomicU8::new(0) }; (PAGES + 6) * 4096];
    /// Two buffers of ours, and part of a third.
    const PAGES_OF_RUNS: u64 = 2 * REGIONS as u64 + 700;

    /// Runs over own memory of which some pages were written, some only read, some neither.
    fn resident(by_scan: bool) -> Option<u64> {
        let page = ::procfs::page_size() as usize;
        let first = WRITTEN.as_ptr() as usize;
        let first = first.next_multiple_of(page) - first;
        for at in (0..PAGES).step_by(2) {
            WRITTEN[first + at * page].store(1, Ordering::Relaxed);
        }
        std::hint::black_box(WRITTEN[first + PAGES * page].load(Ordering::Relaxed));
        let mut pagemap = Pagemap::open(std::process::id()).unwrap();
        if by_scan && !pagemap.by_scan {
            return None;
        }
        pagemap.zero_frame = zero_frame();
        pagemap.frame_flags = hugezero::flags();
        pagemap.by_scan = by_scan;
        if !pagemap.tells_zero() {
            return None;
        }
        let start = (WRITTEN.as_ptr() as usize + first) as u64;
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
    fn no_page_is_counted_twice_where_the_kernel_says_it_looked_less_far() {
        // Every second page; the kernel buffers 512 regions, and at the end still names where its last buffer was full.
        let fetch = |rest: &Range<u64>, regions: &mut [Region]| {
            let starts = (0..2 * PAGES_OF_RUNS).step_by(2).map(|page| page * 4096).filter(|at| *at >= rest.start);
            let mut found = 0;
            for (region, start) in regions.iter_mut().zip(starts) {
                *region = Region { start, end: start + 4096, categories: scan::PRESENT };
                found += 1;
            }
            Ok((found, if found == 0 { rest.end } else { regions[(found - 1) / 512 * 512].start }))
        };
        let mut bytes = 0;
        let add = &mut |run: Run| bytes += run.range.end - run.range.start;
        regions(&(0..2 * PAGES_OF_RUNS * 4096), fetch, add).unwrap();
        assert_eq!(bytes, PAGES_OF_RUNS * 4096);
    }

    #[test]
    fn nobody_has_vanished() {
        assert!(matches!(Pagemap::open(1 << 30), Err(ProcError::Vanished { .. })));
    }
}
