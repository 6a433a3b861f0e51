use super::GO_COUNTERS;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};
use core::mem::size_of;

/// Ranges of one process at most.
pub const WORD_RANGES: usize = 48;
/// Room for the bytes of all ranges.
pub const WORD_BYTES: usize = 12 << 10;
/// Of one range; none crosses a page, so that one that is not there spoils no other.
pub const WORD_RANGE_BYTES: u32 = 4 << 10;
/// Every range starts below this in the room: then the longest fits behind any start.
pub const WORD_STARTS: u32 = WORD_BYTES as u32 - WORD_RANGE_BYTES;

/// Bytes of a process at an absolute address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct WordRange {
    pub address: u64,
    pub bytes: u32,
    /// Where they go in [`WordsRecord::bytes`].
    pub start: u32,
}

/// What is copied of a process on its way out; value of the WORD_PLANS map, the key is the tgid (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct WordPlan {
    /// Unused ones have no bytes.
    pub ranges: [WordRange; WORD_RANGES],
    /// Bit i: when this was made the page of range i had never been touched, so that its bytes were zero.
    pub untouched: u64,
}

impl WordPlan {
    /// One range after the other, words aligned; `None` when they do not fit. The longest must come last. `is_untouched`
    /// is said with each range (address, bytes).
    pub fn of(wanted: impl IntoIterator<Item = (u64, u32, bool)>) -> Option<WordPlan> {
        let mut plan = WordPlan::zeroed();
        let (mut used, mut end) = (0, 0u32);
        for (address, bytes, is_untouched) in wanted {
            if bytes == 0 || bytes > WORD_RANGE_BYTES || end >= WORD_STARTS {
                return None;
            }
            *plan.ranges.get_mut(used)? = WordRange { address, bytes, start: end };
            plan.untouched |= u64::from(is_untouched) << used;
            end += bytes.next_multiple_of(8);
            used += 1;
        }
        Some(plan)
    }
}

/// A process that SIGKILL ends, seen by the first of its threads on the way out. `header.target` is its incarnation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct WordsRecord {
    pub header: Header,
    /// Valid with [`crate::header::flags::GO`].
    pub go: [u64; GO_COUNTERS],
    pub plan: WordPlan,
    /// 0: the range was read; else -errno, and its bytes are nothing.
    pub refused: [i64; WORD_RANGES],
    pub bytes: [u8; WORD_BYTES],
}

const _: () = assert!(WORD_STARTS.is_power_of_two() && WORD_RANGES <= 64 && size_of::<WordsRecord>() < 1 << 16);
