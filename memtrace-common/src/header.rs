//! The first 32 bytes of every record.
use bytemuck::{Pod, Zeroable};

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Header {
    /// CLOCK_MONOTONIC at submit (`bpf_ktime_get_ns`).
    pub t_ns: u64,
    pub tgid: u32,
    pub tid: u32,
    /// The incarnation of the process ([`crate::target::Target::id`]), so that a reused tgid is another process.
    /// 0: the process is not in the target set (an OOM victim elsewhere on the host).
    pub target: u32,
    pub cpu: u16,
    /// One of [`crate::kind`].
    pub kind: u16,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Size of the whole record in bytes.
    pub size: u32,
}

/// Meaning of [`Header::flags`].
pub mod flags {
    /// Other threads of the process faulted or changed mappings during the call: RSS differences are approximate.
    pub const CONCURRENT: u32 = 1;
    /// The six Go counters were read.
    pub const GO: u32 = 1 << 1;
    /// The call acts on another process's memory (process_madvise with a foreign pidfd): no RSS is known.
    pub const FOREIGN: u32 = 1 << 2;
    /// RSS before and after are known.
    pub const RSS: u32 = 1 << 3;
}
