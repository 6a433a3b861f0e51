//! Memory calls of one process, summed in the kernel: the value of the SUMS map, whose key is the target's id. Who has an
//! entry is summed, of everybody else each call is told. All fields are updated with atomic adds.
mod told;

use crate::advice;
use bytemuck::{Pod, Zeroable};

pub use told::{Ends, Told, latency};

/// Buckets of log2(duration in ns): the first holds everything below `2^(LATENCY_LOG2 + 1)`, bucket `i` holds
/// `[2^(LATENCY_LOG2 + i), 2^(LATENCY_LOG2 + i + 1))`, the last one everything longer.
pub const LATENCIES: usize = 24;
pub const LATENCY_LOG2: usize = 7;

/// The advice that is summed, by row: what Go's runtime gives (`runtime/mem_linux.go`). Any other is rare, and told.
pub const ADVICE: [i32; 5] = [advice::DONTNEED, advice::FREE, advice::HUGEPAGE, advice::NOHUGEPAGE, advice::COLLAPSE];

/// madvise of one kind, or munmap. What is not known of a call is in no sum; of how many calls it is known says the count.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct CallSums {
    pub calls: u64,
    pub failed_calls: u64,
    /// Of those that succeeded.
    pub asked_bytes: u64,
    pub unmapped_bytes: u64,
    pub unmapped_calls: u64,
    pub freed_bytes: u64,
    pub freed_calls: u64,
    /// Freed where that is known, else unmapped.
    pub returned_bytes: u64,
    pub unmeasured_calls: u64,
    pub approximate_calls: u64,
    pub resident_bytes: u64,
    pub resident_calls: u64,
    /// Both sides of the effectiveness ratio, over the same calls.
    pub effective_bytes: u64,
    pub effective_of_bytes: u64,
    /// Benign race: the larger of two simultaneous maxima may lose.
    pub max_ns: u64,
    pub log2_ns: [u64; LATENCIES],
}

/// mmap, mremap or brk.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct GrowthSums {
    pub calls: u64,
    pub failed_calls: u64,
    pub grown_bytes: u64,
    pub shrunk_bytes: u64,
}

/// All of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Sums {
    /// By [`ADVICE`].
    pub advise: [CallSums; ADVICE.len()],
    pub munmap: CallSums,
    pub mmap: GrowthSums,
    pub mremap: GrowthSums,
    pub brk: GrowthSums,
}

impl Sums {
    /// What came after `before`; the longest stays that of all.
    pub fn since(&self, before: &Sums) -> Sums {
        let mut since = *self;
        let words: &mut [u64] = bytemuck::cast_slice_mut(core::slice::from_mut(&mut since));
        let earlier: &[u64] = bytemuck::cast_slice(core::slice::from_ref(before));
        words.iter_mut().zip(earlier).for_each(|(now, before)| *now = now.wrapping_sub(*before));
        let calls = since.advise.iter_mut().chain([&mut since.munmap]);
        calls.zip(self.advise.iter().chain([&self.munmap])).for_each(|(since, now)| since.max_ns = now.max_ns);
        since
    }

    /// `None`: that advice is told.
    #[inline(always)]
    pub fn advised(&mut self, value: i32) -> Option<&mut CallSums> {
        let [dontneed, free, hugepage, nohugepage, collapse] = &mut self.advise;
        // Not by an index, whose bounds the verifier could not follow.
        match value {
            advice::DONTNEED => Some(dontneed),
            advice::FREE => Some(free),
            advice::HUGEPAGE => Some(hugepage),
            advice::NOHUGEPAGE => Some(nohugepage),
            advice::COLLAPSE => Some(collapse),
            _ => None,
        }
    }
}
