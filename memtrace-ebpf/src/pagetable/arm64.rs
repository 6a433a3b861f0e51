//! arch/arm64/include/asm/pgtable-hwdef.h and pgtable-prot.h
use super::{Bits, Upper};

const VALID: u64 = 1;
/// Above the last level a table, else a block; at the last level set in every page. Of an entry that is not valid only
/// a page without access keeps it: swap entries have it clear.
const TABLE: u64 = 1 << 1;
/// `PTE_WRITE` is the dirty-bit management bit of the hardware.
const WRITE: u64 = 1 << 51;
/// `PTE_DIRTY`, of software.
const DIRTY: u64 = 1 << 55;
/// `PTE_SPECIAL`.
const SPECIAL: u64 = 1 << 56;
/// Bits 48 and 49 are 0 but where addresses have 52 bits (LPA2). The two highest of these lie elsewhere: no memory is
/// beyond 1 PiB.
pub(super) const FRAME: u64 = 0x0003_ffff_ffff_f000;
pub(super) const BITS: Bits = Bits { no_access: TABLE.trailing_zeros(), special: SPECIAL.trailing_zeros() };

/// The direct map is at the bottom of what the kernel's addresses reach: 39, 48 or 52 bits.
const THREE_LEVELS_FROM: u64 = u64::MAX << 39;
const FOUR_LEVELS_FROM: u64 = u64::MAX << 48;

#[inline(always)]
pub(super) const fn levels(pgd: u64) -> u32 {
    if pgd >= THREE_LEVELS_FROM {
        3
    } else if pgd >= FOUR_LEVELS_FROM {
        4
    } else {
        5
    }
}

#[inline(always)]
pub(super) const fn upper(entry: u64) -> Upper {
    if entry & VALID == 0 {
        return Upper::Nothing;
    }
    if entry & TABLE != 0 {
        return Upper::Table(entry & FRAME);
    }
    // As on x86-64.
    if entry & (WRITE | DIRTY) == 0 || entry & SPECIAL != 0 { Upper::Nothing } else { Upper::Huge }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pagetable::resident;

    #[test]
    fn levels_follow_the_direct_map() {
        assert_eq!(levels(0xffff_0000_0123_4000), 4);
        assert_eq!(levels(0xffff_ff80_0123_4000), 3);
        assert_eq!(levels(0xfff0_0000_0123_4000), 5);
    }

    #[test]
    fn entries_are_told_apart() {
        assert_eq!(upper(0), Upper::Nothing);
        assert_eq!(upper(0x0800_0000_4234_5003), Upper::Table(0x4234_5000));
        assert_eq!(upper(0x00e8_0000_4020_0f41), Upper::Huge, "written");
        assert_eq!(upper(0x0060_0000_4020_0fc1), Upper::Nothing, "huge zero page");
        assert_eq!(upper(DIRTY | 0x0060_0000_4020_0fc1), Upper::Huge, "write-protected dirty huge page");
        assert_eq!(resident(0x00e8_0000_4234_5f43, BITS), 1);
        assert_eq!(resident(0x0160_0000_4234_5fc3, BITS), 0, "zero page");
        assert_eq!(resident(0x0460_0000_4234_5f82, BITS), 1, "PROT_NONE keeps its page");
        assert_eq!(resident(0x0000_0000_4234_5f20, BITS), 0, "swap entry");
    }
}
