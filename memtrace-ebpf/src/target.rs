//! Who is observed.
use crate::{ids, kread, maps, param, shared};
use memtrace_common::target::{KERNEL_IDS, Target, flags};

/// The current process, if it is a target.
pub struct Observed {
    pub tgid: u32,
    pub tid: u32,
    pub target: &'static mut Target,
}

/// A process that is not a target costs this lookup and nothing else.
#[inline(always)]
pub fn observed() -> Option<Observed> {
    let (tgid, tid) = ids::current();
    let target = maps::target(tgid)?;
    if target.flags & flags::FROM_EXEC != 0 {
        return None;
    }
    Some(Observed { tgid, tid, target })
}

/// Makes `tgid` a target with an id of its own; `None` when the set is full, it is one already, or no process of this
/// namespace.
#[inline(always)]
pub fn adopt(tgid: u32, target_flags: u32) -> Option<u32> {
    if tgid == 0 || tgid == param!(switches.self_tgid) {
        return None;
    }
    let id = new_id()?;
    let host = maps::host()?;
    if !maps::add_target(tgid, &Target { go_counters: 0, mm: 0, id, flags: target_flags }) {
        shared::add(&mut host.targets_full, 1);
        // The macro wants a context and does nothing with it.
        aya_log_ebpf::warn!((), "target set full: tgid {} is not observed", tgid);
        return None;
    }
    sum(id, target_flags);
    if param!(switches.faults) == 1 && !maps::start_faults(tgid, id) {
        shared::add(&mut host.targets_full, 1);
    }
    Some(id)
}

/// Each CPU has ids of its own, for want of fetching atomics (5.10). Of a hundred processes a second, the first comes again
/// after eight months.
#[inline(always)]
pub fn new_id() -> Option<u32> {
    let adopted = maps::adopted::count()?;
    shared::add(adopted, 1);
    let id = shared::load(adopted).wrapping_mul(param!(mm.cpus).into()).wrapping_add(kread::cpu().into());
    Some(KERNEL_IDS | id as u32)
}

/// Its calls are summed from now on, unless they are to be told.
#[inline(always)]
pub fn sum(id: u32, target_flags: u32) {
    if param!(switches.sums) == 1 && target_flags & flags::TOLD == 0 {
        maps::sums::start(id);
    }
}

/// Whether children are followed.
#[inline(always)]
pub fn follows(target: &Target) -> bool {
    target.flags & flags::FOLLOW != 0
}
