//! Re-faults on returned pages: aggregated in the kernel, one value per target.
use crate::advice::GROUPS;
use bytemuck::{Pod, Zeroable};

/// Buckets of log2(time to re-fault in ns): bucket `i` holds `[2^i, 2^(i+1))`, the last one everything longer.
pub const BUCKETS: usize = 48;

/// Value of the REFAULTS map (per CPU, summed by the reader); the key is [`crate::target::Target::id`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct RefaultStats {
    /// Returned pages faulted in again, by [`crate::advice::group`].
    pub pages: [u64; GROUPS],
    /// Pages by log2 of the time from their return to the fault.
    pub log2_ns: [u64; BUCKETS],
    pub max_ns: u64,
    /// Pages returned but not marked (table full, range too large to walk, or no exact residency): their re-faults
    /// are not seen.
    pub untracked_pages: u64,
}
