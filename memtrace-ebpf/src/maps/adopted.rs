//! How many targets each CPU has made.
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

#[map]
static ADOPTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[inline(always)]
pub fn count() -> Option<&'static mut u64> {
    shared!(ADOPTED.get_ptr_mut(0))
}
