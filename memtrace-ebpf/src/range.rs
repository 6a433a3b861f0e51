//! Ranges of pages cut into chunks. Pure, so it is tested on the host.
use memtrace_common::refault::CHUNK_PAGES;

const PAGES: u64 = CHUNK_PAGES as u64;

/// Length rounded up to whole pages, as the kernel's PAGE_ALIGN does; wraps to 0 like the kernel's.
#[inline(always)]
pub const fn page_align(length: u64, page_shift: u32) -> u64 {
    let mask = (1u64 << page_shift) - 1;
    length.wrapping_add(mask) & !mask
}

/// A range of pages.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub first: u64,
    pub last: u64,
}

/// The part of a range that lies in one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub chunk: u64,
    pub first: u64,
    pub last: u64,
}

impl Pages {
    /// `None` for an empty range or one that wraps.
    #[inline(always)]
    pub const fn new(address: u64, length: u64, page_shift: u32) -> Option<Self> {
        let Some(end) = address.checked_add(length) else { return None };
        if length == 0 {
            return None;
        }
        Some(Self { first: address >> page_shift, last: (end - 1) >> page_shift })
    }

    #[inline(always)]
    pub const fn count(&self) -> u64 {
        self.last - self.first + 1
    }

    #[inline(always)]
    pub const fn chunks(&self) -> u64 {
        self.last / PAGES - self.first / PAGES + 1
    }

    /// The `i`th piece; meaningful for `i < chunks()`.
    #[inline(always)]
    pub const fn piece(&self, i: u64) -> Piece {
        let chunk = self.first / PAGES + i;
        Piece {
            chunk,
            first: if i == 0 { self.first % PAGES } else { 0 },
            last: if chunk == self.last / PAGES { self.last % PAGES } else { PAGES - 1 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_round_as_the_kernel_does() {
        assert_eq!(page_align(0, 12), 0);
        assert_eq!(page_align(1, 12), 4096);
        assert_eq!(page_align(4096, 12), 4096);
        assert_eq!(page_align(u64::MAX, 12), 0);
    }

    #[test]
    fn pieces_cover_the_range_once() {
        let pages = Pages::new(0x1ff000, 0x402000, 12).unwrap();
        assert_eq!(pages.count(), 0x402);
        assert_eq!(pages.chunks(), 4);
        let pieces: Vec<_> = (0..4).map(|i| pages.piece(i)).collect();
        assert_eq!(pieces[0], Piece { chunk: 0, first: 511, last: 511 });
        assert_eq!(pieces[1], Piece { chunk: 1, first: 0, last: 511 });
        assert_eq!(pieces[3], Piece { chunk: 3, first: 0, last: 0 });
        assert_eq!(pieces.iter().map(|p| p.last - p.first + 1).sum::<u64>(), pages.count());
    }

    #[test]
    fn empty_and_wrapping_ranges_are_refused() {
        assert!(Pages::new(0x1000, 0, 12).is_none());
        assert!(Pages::new(u64::MAX - 1, 4096, 12).is_none());
    }
}
