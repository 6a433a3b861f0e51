//! Stalls of targets in reclaim: the memory cgroup at its limit, or the host short of memory.
use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::target::observed;
use crate::{ids, kread, maps, param, task};
use aya_ebpf::programs::TracePointContext;
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::{GO_COUNTERS, ReclaimRecord, reclaim_op};

/// A stall that has begun. Apart from the slots of the memory calls: a madvise may itself stall in reclaim.
#[repr(C)]
pub struct Stall {
    pub thread: u32,
    pub op: u32,
    pub t_ns: u64,
    pub target: u32,
    pub order: u32,
}

#[inline(always)]
pub fn begin(ctx: &TracePointContext, op: u32, order_offset: u32) {
    let Some(who) = observed() else { return };
    let Some(stall) = maps::stall(ids::thread()) else { return };
    stall.thread = ids::thread();
    stall.op = op;
    stall.t_ns = kread::now();
    stall.target = who.target.id;
    stall.order = kread::trace_field::<u32>(ctx, order_offset).unwrap_or(u32::MAX);
}

#[inline(always)]
pub fn end(ctx: &TracePointContext, hook: Hook, op: u32, reclaimed_offset: u32) {
    let (tgid, tid) = ids::current();
    let thread = ids::thread();
    let stall = match maps::stall(thread) {
        Some(stall) if stall.thread == thread && stall.op == op => stall,
        _ => return count(hook, Outcome::Filtered),
    };
    stall.thread = 0;
    if param!(switches.families) & (1 << kind::RECLAIM) == 0 {
        return count(hook, Outcome::Filtered);
    }
    let Some(reclaimed) = kread::trace_field::<u64>(ctx, reclaimed_offset) else {
        return count(hook, Outcome::ReadFailed);
    };
    let now = kread::now();
    let (cgroup_v1_id, cgroup_v2_id) = task::cgroup_ids(kread::current_task());
    let go_counters = maps::target(tgid).map_or(0, |t| t.go_counters);
    let about = About { kind: kind::RECLAIM, tgid, tid, target: stall.target, t_ns: now, flags: 0 };
    let (duration_ns, order) = (now.wrapping_sub(stall.t_ns), stall.order);
    // Who finds nothing to reclaim is looked at closer, as long as there is somebody to look at.
    emit::event_for(hook, reclaimed == 0, |record: &mut ReclaimRecord| {
        record.header = about.header(size_of::<ReclaimRecord>());
        record.duration_ns = duration_ns;
        record.reclaimed_pages = reclaimed;
        record.cgroup_v1_id = cgroup_v1_id;
        record.cgroup_v2_id = cgroup_v2_id;
        record.op = op;
        record.order = order;
        record.go = [0; GO_COUNTERS];
        if kread::go_counters(&mut record.go, go_counters) {
            record.header.flags |= flags::GO;
        }
    });
}

pub fn memcg_begin(ctx: &TracePointContext) {
    begin(ctx, reclaim_op::MEMCG, param!(trace.memcg_begin_order));
}

pub fn memcg_end(ctx: &TracePointContext) {
    end(ctx, Hook::MemcgReclaim, reclaim_op::MEMCG, param!(trace.memcg_end_reclaimed));
}

pub fn direct_begin(ctx: &TracePointContext) {
    begin(ctx, reclaim_op::DIRECT, param!(trace.direct_begin_order));
}

pub fn direct_end(ctx: &TracePointContext) {
    end(ctx, Hook::DirectReclaim, reclaim_op::DIRECT, param!(trace.direct_end_reclaimed));
}
