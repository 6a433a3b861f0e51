//! What the calls of each process add up to.
use super::blank;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use memtrace_common::sums::Sums;

#[map]
static SUMS: HashMap<u32, Sums> = HashMap::with_max_entries(2048, 0);

#[inline(always)]
pub fn of(target: u32) -> Option<&'static mut Sums> {
    shared!(SUMS.get_ptr_mut(&target))
}

/// Begins those of a new target; without room its calls are told.
#[inline(always)]
pub fn start(target: u32) {
    if let Some(blank) = blank() {
        let _ = SUMS.insert(&target, &blank.sums, BPF_NOEXIST as u64);
    }
}

#[inline(always)]
pub fn remove(target: u32) {
    let _ = SUMS.remove(&target);
}
