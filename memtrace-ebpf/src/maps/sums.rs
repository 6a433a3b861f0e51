//! What the calls of each process add up to.
use super::blank;
use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use memtrace_common::sums::Sums;

#[map]
static SUMS: HashMap<u32, Sums> = HashMap::with_max_entries(2048, 0);

/// Benign race: user space ends the sums of a process that turned out not to be meant, and the next to begin takes their
/// place, while a call of the first is being added.
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
