//! arch/x86/include/asm/pgtable_types.h
use super::{Bits, Upper};

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const DIRTY: u64 = 1 << 6;
const HUGE: u64 = 1 << 7;
/// `_PAGE_PROTNONE` is the global bit of an entry that is not present.
const PROTNONE: u64 = 1 << 8;
/// `_PAGE_SPECIAL`.
const SPECIAL: u64 = 1 << 9;
/// `_PAGE_SAVED_DIRTY`: the dirty bit of a write-protected entry on CPUs with shadow stacks.
const SAVED_DIRTY: u64 = 1 << 58;
pub(super) const FRAME: u64 = 0x000f_ffff_ffff_f000;
pub(super) const BITS: Bits = Bits { no_access: PROTNONE.trailing_zeros(), special: SPECIAL.trailing_zeros() };

/// Lowest direct-map address with four levels; with five the direct map starts at 0xff11000000000000.
const FOUR_LEVELS_FROM: u64 = 0xffff_8000_0000_0000;

#[inline(always)]
pub(super) const fn levels(pgd: u64) -> u32 {
    if pgd >= FOUR_LEVELS_FROM { 4 } else { 5 }
}

#[inline(always)]
pub(super) const fn upper(entry: u64) -> Upper {
    if entry & (PRESENT | PROTNONE) == 0 {
        return Upper::Nothing;
    }
    if entry & HUGE == 0 {
        return Upper::Table(entry & FRAME);
    }
    // The huge zero page is the only huge anonymous mapping that is neither writable nor ever dirtied.
    if entry & (WRITE | DIRTY | SAVED_DIRTY) == 0 || entry & SPECIAL != 0 { Upper::Nothing } else { Upper::Huge }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pagetable::resident;

    #[test]
    fn levels_follow_the_direct_map() {
        assert_eq!(levels(0xffff_8881_0000_0000), 4);
        assert_eq!(levels(0xff11_0001_0000_0000), 5);
    }

    #[test]
    fn entries_are_told_apart() {
        assert_eq!(upper(0), Upper::Nothing);
        assert_eq!(upper(0x1234_5067), Upper::Table(0x1234_5000));
        assert_eq!(upper(0x8000_0000_4000_00e7), Upper::Huge);
        assert_eq!(upper(0x8000_0000_4000_00a5), Upper::Nothing, "huge zero page");
        assert_eq!(upper(SAVED_DIRTY | 0xa5), Upper::Huge, "write-protected dirty huge page");
        assert_eq!(resident(0x8000_0000_1234_5067, BITS), 1);
        assert_eq!(resident(0x8000_0000_1234_5225, BITS), 0, "zero page");
        assert_eq!(resident(PROTNONE | 0x1234_5000, BITS), 1, "PROT_NONE keeps its page");
        assert_eq!(resident(0x1234_5000, BITS), 0, "swap entry");
    }
}
