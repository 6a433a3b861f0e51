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
    if param!(switches.faults) == 1 && !maps::start_faults(tgid, id) {
        shared::add(&mut host.targets_full, 1);
    }
    Some(id)
}

/// Ids need only be unique among processes alive at once: without fetching atomics (5.10) time tells them apart.
#[inline(always)]
pub fn new_id() -> Option<u32> {
    let host = maps::host()?;
    shared::add(&mut host.next_target, 1);
    let n = shared::load(&host.next_target) as u32;
    // Two CPUs that adopt within the same instant must differ: the CPU number is part of the id.
    Some(KERNEL_IDS | (n << 10) & 0x7fff_fc00 | kread::cpu() & 0x3ff)
}

/// Whether children are followed.
#[inline(always)]
pub fn follows(target: &Target) -> bool {
    target.flags & flags::FOLLOW != 0
}
