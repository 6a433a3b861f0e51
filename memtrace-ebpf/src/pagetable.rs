//! What an x86-64 page-table entry says (arch/x86/include/asm/pgtable_types.h). Pure, so it is tested on the host.

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const DIRTY: u64 = 1 << 6;
const HUGE: u64 = 1 << 7;
/// `_PAGE_PROTNONE` is the global bit of an entry that is not present: mapped, but no access (NUMA hinting, PROT_NONE).
const PROTNONE: u64 = 1 << 8;
/// `_PAGE_SPECIAL`: no struct page behind it that counts as RSS (zero page, device memory).
const SPECIAL: u64 = 1 << 9;
/// `_PAGE_SAVED_DIRTY`: the dirty bit of a write-protected entry on CPUs with shadow stacks.
const SAVED_DIRTY: u64 = 1 << 58;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Lowest direct-map address with four levels; with five the direct map starts at 0xff11000000000000.
const FOUR_LEVELS_FROM: u64 = 0xffff_8000_0000_0000;

/// Levels of page tables, told by where the direct map (and so the pgd) lives.
#[inline(always)]
pub const fn levels(pgd: u64) -> u32 {
    if pgd >= FOUR_LEVELS_FROM { 4 } else { 5 }
}

/// Index into the table of `level` (1 = the page-table page) for an address.
#[inline(always)]
pub const fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * (level - 1))) & 511
}

/// What an entry above the last level leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    Nothing,
    /// Physical address of the next table.
    Table(u64),
    /// A huge page that counts as RSS.
    Huge,
}

#[inline(always)]
pub const fn upper(entry: u64) -> Upper {
    if entry & (PRESENT | PROTNONE) == 0 {
        return Upper::Nothing;
    }
    if entry & HUGE == 0 {
        return Upper::Table(entry & FRAME);
    }
    // The huge zero page is the only huge anonymous mapping that is neither writable nor ever dirtied.
    if entry & (WRITE | DIRTY | SAVED_DIRTY) == 0 || entry & SPECIAL != 0 { Upper::Nothing } else { Upper::Huge }
}

/// Whether a last-level entry maps a page that counts as RSS.
#[inline(always)]
pub const fn resident(entry: u64) -> bool {
    resident_bit(entry) != 0
}

/// [`resident`] as 0 or 1, without a branch.
#[inline(always)]
pub const fn resident_bit(entry: u64) -> u64 {
    const { assert!(PRESENT == 1 && PROTNONE == 1 << 8 && SPECIAL == 1 << 9) };
    (entry | entry >> 8) & !(entry >> 9) & 1
}

/// 1 unless `n` is 0, without a branch.
#[inline(always)]
pub const fn bit(n: u64) -> u64 {
    (n | n.wrapping_neg()) >> 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_direct_map() {
        assert_eq!(levels(0xffff_8881_0000_0000), 4);
        assert_eq!(levels(0xff11_0001_0000_0000), 5);
    }

    #[test]
    fn indexes_are_nine_bits_each() {
        let address = (1 << 39) | (2 << 30) | (3 << 21) | (4 << 12) | 0xabc;
        assert_eq!([4, 3, 2, 1].map(|l| index(address, l)), [1, 2, 3, 4]);
    }

    #[test]
    fn entries_are_told_apart() {
        assert_eq!(upper(0), Upper::Nothing);
        assert_eq!(upper(0x1234_5067), Upper::Table(0x1234_5000));
        assert_eq!(upper(0x8000_0000_4000_00e7), Upper::Huge);
        assert_eq!(upper(0x8000_0000_4000_00a5), Upper::Nothing, "huge zero page");
        assert_eq!(upper(SAVED_DIRTY | 0xa5), Upper::Huge, "write-protected dirty huge page");
        assert!(resident(0x8000_0000_1234_5067));
        assert!(!resident(0x8000_0000_1234_5225), "zero page");
        assert!(resident(PROTNONE | 0x1234_5000), "PROT_NONE keeps its page");
        assert!(!resident(0x1234_5000), "swap entry");
    }
}
