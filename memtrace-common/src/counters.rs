//! Per-CPU counters: one block per program, exact once the programs are detached.
use bytemuck::{Pod, Zeroable};

/// `hits = filtered + summed + submitted + ring_full + read_failed`, always.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ProgramCounters {
    pub hits: u64,
    /// Not a target, or nothing to report: on purpose.
    pub filtered: u64,
    /// In the kernel, nothing more to tell: see [`crate::sums`].
    pub summed: u64,
    pub submitted: u64,
    pub ring_full: u64,
    /// The event was a target's but could not be read or paired.
    pub read_failed: u64,
}
