use bytemuck::{Pod, Zeroable};

/// `heapInUse, heapReleased, heapFree, totalAlloc, totalFree, mappedReady` of `runtime.gcController` (Go mgcpacer.go):
/// six contiguous u64, read in place at the instant of the event.
pub const GO_COUNTERS: usize = 6;

/// What every traced memory system call carries.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Call {
    pub address: u64,
    /// Page-rounded as the kernel does.
    pub length: u64,
    /// The system call's return value; negative is -errno.
    pub result: i64,
    pub duration_ns: u64,
    /// RSS of the mm in pages at enter and exit; valid with [`crate::header::flags::RSS`].
    pub rss_before_pages: u64,
    pub rss_after_pages: u64,
    /// Pages of the range that were resident at enter, counted in the page tables; [`crate::UNKNOWN`] if not counted.
    pub resident_pages: u64,
    /// Anonymous pages this thread gave back to the page allocator inside the call; [`crate::UNKNOWN`] without `--exact`.
    pub freed_pages: u64,
    /// Valid with [`crate::header::flags::GO`].
    pub go: [u64; GO_COUNTERS],
    /// Key into the stack map; negative: none taken, or -errno of `bpf_get_stackid`.
    pub stack_id: i64,
}
