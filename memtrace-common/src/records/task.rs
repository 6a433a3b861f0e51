use super::GO_COUNTERS;
use crate::COMM_BYTES;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// Life and death of a process. `header.tgid` is the process concerned (fork: the child; kill: the one killed).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskRecord {
    pub header: Header,
    /// CLOCK_BOOTTIME start of the process (`task_struct.start_boottime`); [`crate::UNKNOWN`].
    pub start_boottime_ns: u64,
    /// fork, exec: the parent. kill: the sender.
    pub other_tgid: u32,
    /// One of [`task_op`].
    pub op: u32,
    /// exit: `task_struct.exit_code` in wait(2) encoding. kill: the signal's si_code. Else 0.
    pub code: i64,
    /// exit, exec: RSS before it; [`crate::UNKNOWN`].
    pub rss_pages: u64,
    pub cgroup_v1_id: u64,
    pub cgroup_v2_id: u64,
    /// The process's name; kill: the sender's.
    pub comm: [u8; COMM_BYTES],
    /// Of the process concerned, where its memory is the current one; valid with [`crate::header::flags::GO`].
    pub go: [u64; GO_COUNTERS],
}

/// Meaning of [`TaskRecord::op`].
pub mod task_op {
    pub const FORK: u32 = 1;
    pub const EXEC: u32 = 2;
    /// The last thread of the process ended.
    pub const EXIT: u32 = 3;
    /// SIGKILL was sent to a target by a process.
    pub const KILL: u32 = 4;
}
