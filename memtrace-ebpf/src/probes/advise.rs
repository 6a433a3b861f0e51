//! madvise and process_madvise: what was asked, what RSS did, which pages left.
use super::call::{self, Asked, Done};
use super::sum;
use crate::counters::{Outcome, count};
use crate::emit;
use crate::inflight::{ADVISE, InFlight, PROCESS_ADVISE};
use crate::marks::{self, Owner, Walked};
use crate::range::Pages;
use crate::syscall::{Enter, Exit};
use crate::target::observed;
use crate::{ids, kread, maps, param, shared};
use memtrace_common::UNKNOWN;
use memtrace_common::advice::{self, group, unmaps};
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::AdviseRecord;
use memtrace_common::refault::{FaultStats, mark};
use memtrace_common::target::KERNEL_IDS;

pub fn madvise_enter(ctx: &impl Enter) {
    let Some(who) = observed() else { return };
    let [address, length, advice] = ctx.arguments();
    let advice = advice as i32;
    let asked = Asked { op: ADVISE, address, length, extra: advice as u32 as u64, extra2: 0 };
    let tgid = who.tgid;
    if let Some(slot) = call::enter(Hook::Advise, who, asked) {
        look(slot, tgid, advice);
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
        Some(f) if unmaps(advice) && is_watched(slot, f) => {
            (Owner { target: f.target, epoch: f.epoch }, mark::new(group(advice), slot.t_ns))
        }
        _ => (Owner { target: 0, epoch: 0 }, 0),
    };
    let Some(walked) = marks::walk(pgd, &pages, owner, stamp) else { return };
    slot.resident = walked.resident;
    slot.marked = walked.marked;
    slot.epoch = owner.epoch;
    if let Some(f) = faults {
        note_marked(f, &walked, advice);
    }
}

/// Whether the process's faults are seen. User space attaches the events of those it adds; one that was adopted here,
/// at exec, has none before user space has looked at it, and is known to have them by the first fault that came.
#[inline(always)]
fn is_watched(slot: &InFlight, faults: &FaultStats) -> bool {
    slot.target < KERNEL_IDS || faults.faults > 0
}

/// The exit of either.
pub fn exit(ctx: &impl Exit) {
    let Some(slot) = call::leaving(Hook::Advise, |op| op == ADVISE || op == PROCESS_ADVISE) else { return };
    let op = slot.op;
    let result = ctx.result();
    let mut done = Done::read(slot, result);
    let advice = slot.extra as i32;
    if op == ADVISE {
        settle(slot, &mut done, advice);
    } else if slot.extra2 != 0 {
        done.flags = (done.flags & !flags::RSS) | flags::FOREIGN;
    }
    if !call::wanted(kind::ADVISE, slot.target, slot.length) {
        slot.thread = 0;
        return count(Hook::Advise, Outcome::Filtered);
    }
    if op == ADVISE && sum::advise(slot, &done, advice) {
        slot.thread = 0;
        return;
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
    slot.thread = 0;
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
    if slot.resident == UNKNOWN {
        if done.concurrent() || done.flags & flags::RSS == 0 {
            return;
        }
        slot.resident = fell;
        if fell == 0 {
            return;
        }
        let (tgid, _) = ids::current();
        if let Some(f) = maps::faults(tgid) {
            mark_whole(slot, f, &pages, fell, advice);
        }
    } else {
        done.doubt(slot, slot.resident);
        let proven = fell == slot.resident || done.concurrent() && done.result >= 0;
        if proven && slot.resident == slot.marked {
            return;
        }
        let (tgid, _) = ids::current();
        let Some(f) = maps::faults(tgid) else { return };
        if proven {
            shared::add(&mut f.untracked_pages, slot.resident - slot.marked);
        } else {
            // What it marked itself goes; what earlier calls returned stays.
            let owner = Owner { target: f.target, epoch: f.epoch };
            if let Some(cleared) = marks::clear(&pages, owner, mark::new(group(advice), slot.t_ns)) {
                shared::add(&mut f.outstanding_pages, cleared.wrapping_neg());
            }
            shared::add(&mut f.untracked_pages, fell);
        }
    }
}

/// Marks a range that nobody walked, when RSS says that all of it left; else its pages are untracked.
#[inline(always)]
fn mark_whole(slot: &InFlight, f: &mut FaultStats, pages: &Pages, fell: u64, advice: i32) {
    if fell == pages.count() && is_watched(slot, f) {
        let owner = Owner { target: f.target, epoch: f.epoch };
        if let Some(walked) = marks::walk(0, pages, owner, mark::new(group(advice), slot.t_ns)) {
            note_marked(f, &walked, advice);
            shared::add(&mut f.untracked_pages, walked.resident - walked.marked);
            return;
        }
    }
    shared::add(&mut f.untracked_pages, fell);
}

#[inline(always)]
fn note_marked(f: &mut FaultStats, walked: &Walked, advice: i32) {
    shared::add(&mut f.outstanding_pages, walked.marked - walked.unseen);
    if walked.unseen > 0 {
        shared::add(&mut f.unseen_pages, walked.unseen);
        shared::add(&mut f.refaulted_pages[group(advice)], walked.unseen);
    }
}

/// `process_madvise(pidfd, iovec, vlen, advice, flags)`: the ranges' total and the first range.
pub fn process_madvise_enter(ctx: &impl Enter) {
    const MAX_RANGES: u64 = 64;
    let Some(who) = observed() else { return };
    let [_, vec, n, advice] = ctx.arguments();
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
    call::enter(Hook::Advise, who, asked);
}
