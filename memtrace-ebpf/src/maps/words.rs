//! What is copied of each target on its way out.
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use memtrace_common::records::WordPlan;

#[map]
static WORD_PLANS: HashMap<u32, WordPlan> = HashMap::with_max_entries(4096, 0);
/// Whose words are still to be copied: an entry is taken by removing it, which only one thread can do, on every kernel.
#[map]
static WORDS_DUE: HashMap<u32, u32> = HashMap::with_max_entries(4096, 0);

/// Kernel address of the plan.
#[inline(always)]
pub fn plan(tgid: u32) -> Option<u64> {
    WORD_PLANS.get_ptr(&tgid).map(|plan| plan as u64)
}

/// Whether they were due, and are the caller's now.
#[inline(always)]
pub fn take(tgid: u32) -> bool {
    WORDS_DUE.remove(&tgid).is_ok()
}
