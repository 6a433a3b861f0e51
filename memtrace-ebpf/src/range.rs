//! Ranges of pages cut into chunks. Pure, so it is tested on the host.
use memtrace_common::refault::CHUNK_PAGES;

const PAGES: u64 = CHUNK_PAGES as u64;

/// Length rounded up to whole pages, as the kernel's PAGE_ALIGN does; wraps to 0 like the kernel's.
#[inline(always)]
pub const fn page_align(length: u64, page_shift: u32) -> u64 {
    let mask = (1u64 << page_shift) - 1;
    length.wrapping_add(mask) & !mask
}

/// An address as the kernel takes it: without the tag that arm64 (top-byte ignore) and x86-64 (LAM) allow a process to
/// keep in the top bits. No user address has a bit there of its own.
#[inline(always)]
pub const fn untagged(address: u64) -> u64 {
    address & ((1 << 56) - 1)
}

/// A range of pages.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub first: u64,
    pub last: u64,
}

/// The part of a range that lies in one chunk: page numbers within the chunk; empty when `last < first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub first: u64,
    pub last: u64,
}

impl Piece {
    /// The range's ends relative to the chunk's first page, two i32: made without a branch, since every branch in a
    /// loop is a state for the verifier to keep. The range must span less than 2^31 pages.
    #[inline(always)]
    pub const fn relative(chunk: u64, first: u64, last: u64) -> u64 {
        let base = chunk * PAGES;
        first.wrapping_sub(base) & 0xffff_ffff | last.wrapping_sub(base) << 32
    }

    /// A relative range as the `i`th chunk after sees it.
    #[inline(always)]
    pub const fn shift(relative: u64, i: u64) -> u64 {
        let back = i * PAGES;
        let (first, last) = (relative as u32, (relative >> 32) as u32);
        (first.wrapping_sub(back as u32) as u64) | ((last.wrapping_sub(back as u32) as u64) << 32)
    }

    /// Whether the `i`th chunk after begins behind the range's last page.
    #[inline(always)]
    pub const fn begins_after(relative: u64, i: u64) -> bool {
        ((relative >> 32) as u32 as i32 as i64) < (i * PAGES) as i64
    }

    /// What of a relative range lies in the chunk.
    #[inline(always)]
    pub const fn within(relative: u64) -> Self {
        let (first, last) = (relative as u32 as i32, (relative >> 32) as u32 as i32);
        let first = if first < 0 { 0 } else { first as u64 };
        let last = if last < 0 {
            return Self { first: 1, last: 0 };
        } else if last as u64 >= PAGES {
            PAGES - 1
        } else {
            last as u64
        };
        Self { first, last }
    }
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
    fn a_tag_is_no_part_of_an_address() {
        assert_eq!(untagged(0xa500_ffff_8000_1000), 0xffff_8000_1000);
        assert_eq!(untagged(0x00ff_ffff_ffff_f000), 0x00ff_ffff_ffff_f000, "the last page of five levels");
    }

    #[test]
    fn pieces_cover_the_range_once() {
        let pages = Pages::new(0x1ff000, 0x402000, 12).unwrap();
        assert_eq!(pages.count(), 0x402);
        assert_eq!(pages.chunks(), 4);
        let pieces: Vec<_> = (0..4).map(|c| Piece::within(Piece::relative(c, pages.first, pages.last))).collect();
        assert_eq!(pieces[0], Piece { first: 511, last: 511 });
        assert_eq!(pieces[1], Piece { first: 0, last: 511 });
        assert_eq!(pieces[3], Piece { first: 0, last: 0 });
        assert_eq!(pieces.iter().map(|p| p.last - p.first + 1).sum::<u64>(), pages.count());
    }

    #[test]
    fn strides_see_what_chunks_see() {
        let (first, last) = (100, 40_000);
        let relative = Piece::relative(0, first, last);
        for i in 0..100 {
            let direct = Piece::within(Piece::relative(i, first, last));
            assert_eq!(Piece::within(Piece::shift(relative, i)), direct);
            assert_eq!(Piece::begins_after(relative, i), i * 512 > last);
        }
    }

    #[test]
    fn a_chunk_outside_the_range_has_no_piece() {
        let (first, last) = (600, 700);
        let before = Piece::within(Piece::relative(0, first, last));
        let after = Piece::within(Piece::relative(2, first, last));
        assert!(before.first > before.last && after.last < after.first, "{before:?} {after:?}");
    }

    #[test]
    fn empty_and_wrapping_ranges_are_refused() {
        assert!(Pages::new(0x1000, 0, 12).is_none());
        assert!(Pages::new(u64::MAX - 1, 4096, 12).is_none());
    }
}
