//! What page-table entries say, by architecture: a start-up parameter, so that one object serves all. Pure, so it is
//! tested on the host. All tables have 512 entries, and pages 4 KiB; others are not walked.
use memtrace_common::host::page_tables;

mod arm64;
mod x86_64;

/// What an entry above the last level leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upper {
    Nothing,
    /// Physical address of the next table.
    Table(u64),
    /// A huge page that counts as RSS.
    Huge,
}

/// Levels of page tables, told by where the direct map (and so the pgd) lives; 0: these cannot be walked.
#[inline(always)]
pub const fn levels(kind: u32, pgd: u64) -> u32 {
    match kind {
        page_tables::X86_64 => x86_64::levels(pgd),
        page_tables::ARM64 => arm64::levels(pgd),
        _ => 0,
    }
}

/// Index into the table of `level` (1 = the page-table page) for an address.
#[inline(always)]
pub const fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * (level - 1))) & 511
}

#[inline(always)]
pub const fn upper(kind: u32, entry: u64) -> Upper {
    if kind == page_tables::ARM64 { arm64::upper(entry) } else { x86_64::upper(entry) }
}

/// Physical address of what an entry leads to.
#[inline(always)]
pub const fn frame(kind: u32, entry: u64) -> u64 {
    entry & if kind == page_tables::ARM64 { arm64::FRAME } else { x86_64::FRAME }
}

/// Where a last-level entry says whether it maps a page that counts as RSS.
#[derive(Clone, Copy)]
pub struct Bits {
    /// Set in an entry that is mapped without access, whose bit 0 is not (NUMA hinting, PROT_NONE).
    no_access: u32,
    /// No struct page behind it that counts (zero page, device memory).
    special: u32,
}

#[inline(always)]
pub const fn bits(kind: u32) -> Bits {
    if kind == page_tables::ARM64 { arm64::BITS } else { x86_64::BITS }
}

/// 1 for a last-level entry that maps a page that counts as RSS, else 0; without a branch.
#[inline(always)]
pub const fn resident(entry: u64, bits: Bits) -> u64 {
    (entry | entry >> bits.no_access) & !(entry >> bits.special) & 1
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
    fn indexes_are_nine_bits_each() {
        let address = (1 << 39) | (2 << 30) | (3 << 21) | (4 << 12) | 0xabc;
        assert_eq!([4, 3, 2, 1].map(|l| index(address, l)), [1, 2, 3, 4]);
    }

    #[test]
    fn unknown_tables_are_not_walked() {
        assert_eq!(levels(page_tables::NONE, 0xffff_8881_0000_0000), 0);
    }
}
