//! What a memory call did, from what was seen at both its ends: the kernel side sums it, the user side tells it.
use crate::UNKNOWN;
use crate::advice::{self, unmaps};
use crate::header::flags;
use crate::records::{MAP_FIXED, map_op};

/// What a call does to the resident pages of its range, by its own definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drops {
    /// All of them: it succeeded and unmaps.
    Resident,
    /// None (MADV_FREE, MADV_HUGEPAGE, mmap where there is room).
    Nothing,
    /// Cannot be said from the arguments alone.
    Unsaid,
}

impl Drops {
    /// `whole`: all that was asked for was done.
    #[inline(always)]
    pub const fn of_advice(advice: i32, whole: bool) -> Self {
        match advice {
            advice::DONTNEED | advice::DONTNEED_LOCKED if whole => Self::Resident,
            known if keeps_pages(known) => Self::Nothing,
            _ => Self::Unsaid,
        }
    }

    #[inline(always)]
    pub const fn of_map(op: u32, result: i64, map_flags: u32) -> Self {
        match op {
            map_op::MUNMAP if result == 0 => Self::Resident,
            map_op::MMAP if map_flags & MAP_FIXED == 0 => Self::Nothing,
            _ => Self::Unsaid,
        }
    }
}

/// Advice that leaves every mapped page mapped, whatever the other threads did to the RSS meanwhile.
#[inline(always)]
const fn keeps_pages(value: i32) -> bool {
    !unmaps(value) && matches!(value, 0..=3 | advice::FREE | 10..=11 | 14..=20 | 22..=23)
}

/// As IS_ERR_VALUE: an address may have its top bit set elsewhere.
#[inline(always)]
pub const fn is_error(result: i64) -> bool {
    result < 0 && result >= -4095
}

/// brk returns the break as it is now; brk(0) only asks for it.
#[inline(always)]
pub const fn brk_failed(address: u64, result: i64) -> bool {
    address != 0 && result as u64 != address
}

/// By how many bytes the break moved; `None`: where it was before is not known (0).
#[inline(always)]
pub const fn brk_delta(before: u64, result: i64) -> Option<i64> {
    if before == 0 || before > i64::MAX as u64 || result < 0 { None } else { Some(result - before as i64) }
}

/// Whether a call that makes or moves mappings failed, and by how many bytes there is more. `new`: the new length of
/// mremap, the break before of brk.
#[inline(always)]
pub const fn growth(op: u32, result: i64, address: u64, length: u64, new: u64) -> (bool, i64) {
    match op {
        map_op::BRK => match brk_delta(new, result) {
            Some(delta) => (brk_failed(address, result), delta),
            None => (brk_failed(address, result), 0),
        },
        _ if is_error(result) => (true, 0),
        map_op::MREMAP => (false, new.wrapping_sub(length) as i64),
        _ => (false, length as i64),
    }
}

/// RSS of the mm at both ends, valid with [`flags::RSS`], and the pages of the range that were resident before, counted in
/// the page tables or [`UNKNOWN`].
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub flags: u32,
    pub rss_before_pages: u64,
    pub rss_after_pages: u64,
    pub resident_pages: u64,
}

impl Seen {
    /// Pages that left, and whether that is approximate. `most`: no more can have. [`UNKNOWN`]: nobody can say.
    #[inline(always)]
    pub fn unmapped(&self, most: u64, drops: Drops) -> (u64, bool) {
        if most == 0 {
            return (0, false);
        }
        if self.flags & flags::FOREIGN != 0 || self.flags & flags::RSS == 0 {
            return (UNKNOWN, false);
        }
        // Then RSS fell for another reason, which need not have been seen.
        if matches!(drops, Drops::Nothing) {
            return (0, false);
        }
        let is_alone = self.flags & flags::CONCURRENT == 0;
        if !is_alone && matches!(drops, Drops::Resident) && self.resident_pages != UNKNOWN {
            return (self.resident_pages.min(most), false);
        }
        (self.rss_before_pages.saturating_sub(self.rss_after_pages).min(most), !is_alone)
    }
}
