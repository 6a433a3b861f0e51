//! What memtrace learned about this kernel by asking it at start-up; kept in a map because it is found after load.
use bytemuck::{Pod, Zeroable};

/// The only value of the HOST map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Host {
    /// Kernel virtual address of physical address 0 (x86-64 `page_offset_base`); 0: page tables cannot be read here.
    pub direct_map: u64,
    /// The process whose magic madvise calls calibrate; 0: none.
    pub calibrate_tgid: u64,
    /// Targets that could not be added because the set was full (atomic).
    pub targets_full: u64,
    /// The calling process's `mm->pgd`, as the calibration saw it.
    pub pgd: u64,
    /// CPUs whose offset was found.
    pub cpus_found: u64,
    /// In a pid namespace of its own: the last victim of the OOM killer, `pid << 32 | tgid`, as the initial namespace
    /// calls the task and as memtrace's own calls the process. Written under the kernel's `oom_lock`.
    pub victim: u64,
}

/// The advice value of the calibration call `madvise(page, MAGIC_WORD, ADVICE)`: refused by every kernel.
pub const CALIBRATE_ADVICE: i32 = 0x6d74;

/// The word the calibrating process stores at the start of its page, found again through the page tables.
pub const CALIBRATE_WORD: u64 = 0x6d65_6d74_7261_6365;

/// Candidate bases tried by one calibration call; the call's length argument says which window.
pub const CALIBRATE_WINDOW: u64 = 64;

/// Granule of the kernel's direct map base (x86-64 `kernel_randomize_memory`: PUD_SIZE).
pub const DIRECT_MAP_STEP: u64 = 1 << 30;

/// Meaning of [`crate::params::MmOffsets::page_tables`].
pub mod page_tables {
    /// Not known: not walked.
    pub const NONE: u32 = 0;
    pub const X86_64: u32 = 1;
    /// Of pages of 4 KiB.
    pub const ARM64: u32 = 2;
}
