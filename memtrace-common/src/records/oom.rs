use super::GO_COUNTERS;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// The OOM killer chose a victim. `header.tgid` and `header.target` are the victim's.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct OomRecord {
    pub header: Header,
    /// The process whose allocation started the OOM killer.
    pub allocator_tgid: u32,
    /// One of [`oom_op`].
    pub op: u32,
    /// The victim's cgroup, as inode numbers of its directory: v1 memory hierarchy and v2; [`crate::UNKNOWN`].
    pub cgroup_v1_id: u64,
    pub cgroup_v2_id: u64,
    /// Totals of `oom:mark_victim`, kB; [`crate::UNKNOWN`] where this kernel's tracepoint lacks them.
    pub total_vm_kb: u64,
    pub anon_rss_kb: u64,
    pub file_rss_kb: u64,
    pub shmem_rss_kb: u64,
    pub page_tables_kb: u64,
    /// oom_score_adj of the victim, sign extended; `i64::MIN` unknown.
    pub oom_score_adj: i64,
    pub go: [u64; GO_COUNTERS],
}

/// Meaning of [`OomRecord::op`].
pub mod oom_op {
    /// Raw `signal_generate`: SIGKILL sent by the kernel (`SEND_SIG_PRIV`). Carries the cgroup ids.
    pub const KILL: u32 = 1;
    /// `oom:mark_victim`. Carries the totals.
    pub const VICTIM: u32 = 2;
}
