use super::GO_COUNTERS;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// One stall of a task in reclaim, written at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ReclaimRecord {
    pub header: Header,
    pub duration_ns: u64,
    pub reclaimed_pages: u64,
    /// The stalled task's cgroup, as inode numbers of its directory; [`crate::UNKNOWN`].
    pub cgroup_v1_id: u64,
    pub cgroup_v2_id: u64,
    /// One of [`reclaim_op`].
    pub op: u32,
    /// Allocation order that had to wait; `u32::MAX` unknown.
    pub order: u32,
    /// Valid with [`crate::header::flags::GO`].
    pub go: [u64; GO_COUNTERS],
}

/// Meaning of [`ReclaimRecord::op`].
pub mod reclaim_op {
    /// `vmscan:mm_vmscan_memcg_reclaim_*`: the memory cgroup was at its limit.
    pub const MEMCG: u32 = 1;
    /// `vmscan:mm_vmscan_direct_reclaim_*`: the host was short of memory.
    pub const DIRECT: u32 = 2;
}
