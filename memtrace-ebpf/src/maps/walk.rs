//! What is walked of each target on its way out, and how far the walk is.
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use memtrace_common::records::WalkPlan;

#[map]
static WALK_PLANS: HashMap<u32, WalkPlan> = HashMap::with_max_entries(4096, 0);
/// As WORDS_DUE.
#[map]
static WALKS_DUE: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

#[inline(always)]
pub fn plan(tgid: u32) -> Option<&'static mut WalkPlan> {
    shared!(WALK_PLANS.get_ptr_mut(&tgid))
}

/// Whether it was due, and is the caller's now.
#[inline(always)]
pub fn take(tgid: u32) -> bool {
    WALKS_DUE.remove(&tgid).is_ok()
}
