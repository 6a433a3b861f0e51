//! The target set: who is observed.
use bytemuck::{Pod, Zeroable};

/// Value of the TARGETS map; the key is the tgid (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Target {
    /// Absolute address of the first Go counter in the target's memory; 0: not known (yet). Zeroed by exec.
    pub go_counters: u64,
    /// Its `mm_struct`, kept by the probes from its first call on; 0: not looked up yet. Zeroed by exec.
    pub mm: u64,
    /// This incarnation, unique since the programs were loaded; never 0.
    pub id: u32,
    /// Bits of [`flags`].
    pub flags: u32,
}

/// Meaning of [`Target::flags`].
pub mod flags {
    /// Children become targets when they are forked.
    pub const FOLLOW: u32 = 1;
    /// Became a target by exec while discovery is on: user space decides whether it stays.
    pub const PROVISIONAL: u32 = 1 << 1;
    /// Not observed before its next exec (a command held by its trampoline).
    pub const FROM_EXEC: u32 = 1 << 2;
    /// It has, or once had, more than one thread: others may change its RSS during a call.
    pub const THREADS: u32 = 1 << 3;
    /// Each of its memory calls is told, and those of its children: never summed.
    pub const TOLD: u32 = 1 << 4;
}

/// The self-test's child: no filter applies to it.
pub const SELF_TEST: u32 = 1;

/// Ids handed out by user space are below this, those handed out in the kernel (fork, exec) at or above it.
pub const KERNEL_IDS: u32 = 1 << 31;
