//! Whose runtime has not given up yet.
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

#[map]
static FATAL_DUE: HashMap<u32, u32> = HashMap::with_max_entries(16384, 0);

/// Whether it is the first time: an entry is taken by removing it, which only one thread can do, on every kernel.
#[inline(always)]
pub fn take(tgid: u32) -> bool {
    FATAL_DUE.remove(&tgid).is_ok()
}
