//! Page faults and re-faults on returned pages: aggregated in the kernel, one value per target process.
use crate::advice::GROUPS;
use bytemuck::{Pod, Zeroable};

/// Buckets of log2(time to re-fault in ns): bucket `i` holds `[2^i, 2^(i+1))`, the last one everything longer.
pub const BUCKETS: usize = 48;

/// Pages in a chunk; one chunk is one entry of the CHUNKS map (2 MiB with 4 KiB pages).
pub const CHUNK_PAGES: usize = 512;

/// Value of the FAULTS map; the key is the tgid. All fields are updated with atomic adds.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FaultStats {
    /// Faults of all threads that completed (minor and major) since the process became a target.
    pub faults: u64,
    /// Marked pages that have neither come back nor been unmapped.
    pub outstanding_pages: u64,
    /// Returned pages faulted in again, by [`crate::advice::group`].
    pub refaulted_pages: [u64; GROUPS],
    /// Those of them found back without a fault of their own (khugepaged, fault-around, populate): time unknown.
    pub unseen_pages: u64,
    /// Pages by log2 of the time from their return to the fault.
    pub log2_ns: [u64; BUCKETS],
    /// Longest time to re-fault (benign race: the larger of two simultaneous maxima may lose).
    pub max_ns: u64,
    /// Pages returned whose re-faults cannot be seen: table full, residency not exact, moved by mremap.
    pub untracked_pages: u64,
    /// The target's incarnation ([`crate::target::Target::id`]) and the epoch of its address space (exec ends one).
    pub target: u32,
    pub epoch: u32,
}

/// Key of the CHUNKS map; its value is one [`mark`] per page.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ChunkKey {
    /// Address / (page size * [`CHUNK_PAGES`]).
    pub chunk: u64,
    pub target: u32,
    pub epoch: u32,
}

/// One page's mark: 0 = not returned; else the time of its return (CLOCK_MONOTONIC ns, low 56 bits) and its
/// [`crate::advice::group`] + 1 in the top byte.
pub mod mark {
    const TIME: u64 = (1 << 56) - 1;

    #[inline(always)]
    pub const fn new(group: usize, t_ns: u64) -> u64 {
        ((group as u64 + 1) << 56) | (t_ns & TIME)
    }

    #[inline(always)]
    pub const fn group(mark: u64) -> usize {
        ((mark >> 56) as usize).wrapping_sub(1) & 3
    }

    #[inline(always)]
    pub const fn t_ns(mark: u64) -> u64 {
        mark & TIME
    }
}
