//! The heap profile and the goroutines of a target that SIGKILL ends, walked in its own memory while that is still there.
//! The loops are global BPF functions, as in `strides`; what they share is in the plan, in a map, where the verifier does
//! not follow it: each is verified once, and in few states.
pub mod buckets;
pub mod goroutines;

use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::probes::words;
use crate::{ids, kread, maps};
use aya_ebpf::programs::RawTracePointContext;
use memtrace_common::header::Header;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::walk::*;

/// What could not be read.
const NOT_READ: u64 = u64::MAX;

/// Raw `signal_deliver`, behind the program that copies the statistics.
pub fn signal_deliver(ctx: &RawTracePointContext) {
    let Some((tgid, tid, target)) = words::victim(Hook::Walk, ctx) else { return };
    let Some(plan) = maps::walk::plan(tgid).filter(|_| maps::walk::take(tgid)) else {
        return count(Hook::Walk, Outcome::Filtered);
    };
    plan.state.began_ns = kread::now();
    plan.state.rate_bytes = kread::user(plan.mem_profile_rate).unwrap_or(NOT_READ);
    plan.state.collections = kread::user::<u32>(plan.collections).map_or(NOT_READ, u64::from);
    plan.state.next_bucket = kread::user(plan.mbuckets).unwrap_or(NOT_READ);
    [plan.state.list, plan.state.listed] = kread::user(plan.allgs).unwrap_or([NOT_READ; 2]);
    buckets::walk_buckets();
    goroutines::walk_goroutines();
    let Some(plan) = maps::walk::plan(tgid) else { return };
    let about = About { kind: kind::WALK_END, tgid, tid, target: target.id, t_ns: kread::now(), flags: 0 };
    emit::urgent(Hook::Walk, |record: &mut WalkEndRecord| {
        record.header = about.header(size_of::<WalkEndRecord>());
        record.state = plan.state;
        record.state.ended_ns = record.header.t_ns;
    });
}

/// The current process's plan, and the beginning of a record about it.
#[inline(always)]
fn current(kind: u16, size: usize) -> Option<(&'static mut WalkPlan, Header)> {
    let (tgid, tid) = ids::current();
    let target = maps::target(tgid)?.id;
    let about = About { kind, tgid, tid, target, t_ns: kread::now(), flags: 0 };
    Some((maps::walk::plan(tgid)?, about.header(size)))
}

#[inline(always)]
fn first_stop(address: u64, read: u64) -> u32 {
    match (address, read) {
        (0, _) => stop::IMPLAUSIBLE,
        (_, NOT_READ) => stop::UNREADABLE,
        (_, _) => stop::NONE,
    }
}
