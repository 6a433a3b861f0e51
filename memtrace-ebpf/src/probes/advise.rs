//! madvise and process_madvise: what was asked, what RSS did, which pages left.
use super::call::{self, Asked, Done};
use crate::counters::{Outcome, count};
use crate::emit;
use crate::inflight::{ADVISE, InFlight, PROCESS_ADVISE};
use crate::marks::{self, Owner};
use crate::target::observed;
use crate::{kread, maps, param, shared};
use aya_ebpf::EbpfContext;
use aya_ebpf::programs::TracePointContext;
use memtrace_common::UNKNOWN;
use memtrace_common::advice::{self, group, unmaps};
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::AdviseRecord;
use memtrace_common::refault::mark;

pub fn madvise_enter(ctx: &TracePointContext) {
    let Some(who) = observed() else { return };
    let [address, length, advice] = kread::words(ctx, param!(trace.sys_enter_args));
    let advice = advice as i32;
    let asked = Asked { op: ADVISE, address, length, extra: advice as u32 as u64, extra2: 0 };
    if let Some(slot) = call::enter(Hook::Advise, &who, asked) {
        look(slot, who.tgid, advice);
    }
}

/// Counts the resident pages of the range before the kernel acts, and marks them as returned while at it. Skipped where
/// RSS alone will tell: one page of a process without company.
#[inline(always)]
fn look(slot: &mut InFlight, tgid: u32, advice: i32) {
    if !unmaps(advice) && advice != advice::FREE {
        return;
    }
    let Some(pages) = call::pages(slot.address, slot.length) else { return };
    if pages.count() == 1 && !call::has_company(slot) {
        return;
    }
    let can_walk = maps::host().is_some_and(|h| h.direct_map != 0);
    let Some(pgd) = kread::pointer(slot.mm, param!(mm.pgd)) else { return };
    if slot.mm == 0 || !can_walk {
        return;
    }
    let faults = maps::faults(tgid);
    let (owner, stamp) = match &faults {
        Some(f) if unmaps(advice) => (Owner { target: f.target, epoch: f.epoch }, mark::new(group(advice), slot.t_ns)),
        _ => (Owner { target: 0, epoch: 0 }, 0),
    };
    let Some(walked) = marks::walk(pgd, &pages, owner, stamp) else { return };
    slot.resident = walked.resident;
    slot.marked = walked.marked;
    slot.epoch = owner.epoch;
    if let Some(f) = faults {
        shared::add(&mut f.outstanding_pages, walked.marked - walked.unseen);
        if walked.unseen > 0 {
            shared::add(&mut f.unseen_pages, walked.unseen);
            shared::add(&mut f.refaulted_pages[group(advice)], walked.unseen);
        }
    }
}

/// The exit of either.
pub fn exit(ctx: &TracePointContext) {
    let Some(slot) = call::leaving(Hook::Advise, |op| op == ADVISE || op == PROCESS_ADVISE) else { return };
    let op = slot.op;
    let [result] = kread::words(ctx, param!(trace.sys_exit_ret));
    let result = result as i64;
    let mut done = Done::read(slot, result);
    let advice = slot.extra as i32;
    if op == ADVISE {
        settle(slot, &mut done, advice);
    } else if slot.extra2 != 0 {
        done.flags = (done.flags & !flags::RSS) | flags::FOREIGN;
    }
    if !call::wanted(kind::ADVISE, slot.target, slot.length) {
        slot.tid = 0;
        return count(Hook::Advise, Outcome::Filtered);
    }
    let about = call::about(slot, &done, kind::ADVISE);
    let stack_id = call::stack(ctx.as_ptr());
    emit::event(Hook::Advise, |record: &mut AdviseRecord| {
        record.header = about.header(size_of::<AdviseRecord>());
        if call::fill(&mut record.call, slot, &done, stack_id) {
            record.header.flags |= flags::GO;
        }
        record.advice = advice;
        record.process = (op == PROCESS_ADVISE) as u32;
    });
    slot.tid = 0;
}

/// Compares what was marked with what RSS says. Marks that cannot be trusted are taken away and their pages counted as
/// untracked: never guessed.
#[inline(always)]
fn settle(slot: &mut InFlight, done: &mut Done, advice: i32) {
    if !unmaps(advice) {
        return;
    }
    let Some(pages) = call::pages(slot.address, slot.length) else { return };
    let fell = if done.fell > 0 { done.fell as u64 } else { 0 };
    let (tgid, _) = kread::current_ids();
    let faults = maps::faults(tgid);
    if slot.resident != UNKNOWN {
        // RSS and the page tables disagree although nobody was seen to interfere: in a process with company a fault was
        // half-way (its page counted, its event yet to come), and the page tables are right.
        if fell != slot.resident && !done.concurrent() && call::has_company(slot) {
            done.flags |= flags::CONCURRENT;
        }
        let proven = fell == slot.resident || done.concurrent() && done.result >= 0;
        if let Some(f) = faults {
            if proven {
                shared::add(&mut f.untracked_pages, slot.resident - slot.marked);
            } else {
                marks::forget(f, &pages, false);
                shared::add(&mut f.untracked_pages, fell);
            }
        }
        return;
    }
    if done.concurrent() || done.flags & flags::RSS == 0 {
        return;
    }
    slot.resident = fell;
    let Some(f) = faults else { return };
    if fell == pages.count() {
        let owner = Owner { target: f.target, epoch: f.epoch };
        let stamp = mark::new(group(advice), slot.t_ns);
        if let Some(walked) = marks::walk(0, &pages, owner, stamp) {
            shared::add(&mut f.outstanding_pages, walked.marked - walked.unseen);
            shared::add(&mut f.untracked_pages, walked.resident - walked.marked);
            shared::add(&mut f.unseen_pages, walked.unseen);
            shared::add(&mut f.refaulted_pages[group(advice)], walked.unseen);
            return;
        }
    }
    shared::add(&mut f.untracked_pages, fell);
}

/// `process_madvise(pidfd, iovec, vlen, advice, flags)`: the ranges' total and the first range.
pub fn process_madvise_enter(ctx: &TracePointContext) {
    const MAX_RANGES: u64 = 64;
    let Some(who) = observed() else { return };
    let [_, vec, n, advice] = kread::words(ctx, param!(trace.sys_enter_args));
    let advice = advice as i32;
    let (mut first, mut total) = (0, 0u64);
    for i in 0..MAX_RANGES {
        if i >= n {
            break;
        }
        let Some([base, length]) = kread::user::<[u64; 2]>(vec.wrapping_add(i * 16)) else { break };
        if i == 0 {
            first = base;
        }
        total = total.wrapping_add(length);
    }
    // Whose memory the pidfd names is not resolved: RSS is given only when the call can but be on its own.
    let asked = Asked { op: PROCESS_ADVISE, address: first, length: total, extra: advice as u32 as u64, extra2: 1 };
    call::enter(Hook::Advise, &who, asked);
}
