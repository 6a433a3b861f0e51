//! The target set: who is observed.
use bytemuck::{Pod, Zeroable};

/// Value of the TARGETS map; the key is the tgid (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Target {
    /// Absolute address of the first Go counter in the target's memory; 0: not known (yet).
    pub go_counters: u64,
    /// Page faults of all its threads since it became a target (atomic).
    pub faults: u64,
    /// Bumped by every fault, and by every traced memory call at enter and exit: tells a call that it was not alone (atomic).
    pub activity: u64,
    /// This incarnation, unique since the programs were loaded; never 0.
    pub id: u32,
    /// Bits of [`flags`].
    pub flags: u32,
}

/// Meaning of [`Target::flags`].
pub mod flags {
    /// Children become targets when they are forked.
    pub const FOLLOW: u32 = 1;
    /// Became a target in the kernel (fork of a target, or exec while discovery is on): user space decides whether it stays.
    pub const PROVISIONAL: u32 = 1 << 1;
    /// Some page of it was marked returned: its faults need matching.
    pub const RETURNED: u32 = 1 << 2;
}
