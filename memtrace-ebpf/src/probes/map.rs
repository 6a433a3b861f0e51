//! mmap, munmap, mremap, brk: what was mapped and unmapped; marks of pages that no longer exist are forgotten.
use super::call::{self, Asked, Done};
use super::sum;
use crate::counters::{Outcome, count};
use crate::emit;
use crate::inflight::InFlight;
use crate::marks::{self, Owner};
use crate::syscall::{Enter, Exit};
use crate::target::observed;
use crate::{ids, kread, maps, param};
use memtrace_common::UNKNOWN;
use memtrace_common::effect::is_error;
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::{MAP_FIXED, MapRecord, map_op};

pub fn mmap_enter(ctx: &impl Enter) {
    let Some(who) = observed() else { return };
    let [address, length, prot, flags] = ctx.arguments();
    let extra = prot as u32 as u64 | flags << 32;
    call::enter(Hook::Map, who, Asked { op: map_op::MMAP, address, length, extra, extra2: 0 });
}

pub fn munmap_enter(ctx: &impl Enter) {
    let Some(who) = observed() else { return };
    let [address, length] = ctx.arguments();
    let asked = Asked { op: map_op::MUNMAP, address, length, extra: 0, extra2: 0 };
    let Some(slot) = call::enter(Hook::Map, who, asked) else { return };
    // Now and not at the exit: by then another thread may have mapped the same addresses and touched them. What is not
    // aligned is refused.
    if address & ((1 << param!(mm.page_shift)) - 1) == 0 {
        forget(address, length, false);
    }
    // RSS tells exactly what a process without company unmaps; with company the page tables do.
    if call::has_company(slot) && maps::host().is_some_and(|h| h.direct_map != 0) {
        let Some(pages) = call::pages(address, length) else { return };
        let Some(pgd) = kread::pointer(slot.mm, param!(mm.pgd)) else { return };
        if let Some(walked) = marks::walk(pgd, &pages, Owner { target: 0, epoch: 0 }, 0) {
            slot.resident = walked.resident;
        }
    }
}

pub fn mremap_enter(ctx: &impl Enter) {
    let Some(who) = observed() else { return };
    let [address, length, new_length, flags] = ctx.arguments();
    let asked = Asked { op: map_op::MREMAP, address, length, extra: new_length, extra2: flags };
    call::enter(Hook::Map, who, asked);
}

pub fn brk_enter(ctx: &impl Enter) {
    let Some(who) = observed() else { return };
    let [address] = ctx.arguments();
    let asked = Asked { op: map_op::BRK, address, length: 0, extra: 0, extra2: 0 };
    if let Some(slot) = call::enter(Hook::Map, who, asked) {
        slot.extra = kread::pointer(slot.mm, param!(mm.brk)).unwrap_or(0);
    }
}

/// The exit of any of the four.
pub fn exit(ctx: &impl Exit) {
    let Some(slot) = call::leaving(Hook::Map, |op| op <= map_op::BRK) else { return };
    let op = slot.op;
    let result = ctx.result();
    let mut done = Done::read(slot, result);
    done.doubt(slot, if slot.resident == UNKNOWN { 0 } else { slot.resident });
    forget_unmapped(slot, op, result);
    let length = if op == map_op::BRK { (result as u64).abs_diff(slot.extra) } else { slot.length };
    if !call::wanted(kind::MAP, slot.target, length) {
        slot.thread = 0;
        return count(Hook::Map, Outcome::Filtered);
    }
    if sum::map(slot, &done, op) {
        slot.thread = 0;
        return;
    }
    let about = call::about(slot, &done, kind::MAP);
    let stack_id = call::stack(ctx.as_ptr());
    emit::event(Hook::Map, |record: &mut MapRecord| {
        record.header = about.header(size_of::<MapRecord>());
        if call::fill(&mut record.call, slot, &done, stack_id) {
            record.header.flags |= flags::GO;
        }
        record.op = op;
        record.pad = 0;
        record.new_length = 0;
        record.prot = 0;
        record.map_flags = 0;
        if op == map_op::MMAP {
            record.prot = slot.extra as u32;
            record.map_flags = (slot.extra >> 32) as u32;
            if !is_error(result) {
                record.call.address = result as u64;
            }
        } else {
            record.new_length = slot.extra;
            record.map_flags = slot.extra2 as u32;
        }
    });
    slot.thread = 0;
}

#[inline(always)]
fn forget_unmapped(slot: &InFlight, op: u32, result: i64) {
    if is_error(result) || op == map_op::MUNMAP {
        return;
    }
    let (mut address, mut length) = (slot.address, slot.length);
    let mut moved = false;
    if op == map_op::MMAP {
        if (slot.extra >> 32) as u32 & MAP_FIXED == 0 {
            return;
        }
        address = result as u64;
    } else if op == map_op::MREMAP {
        if result as u64 == address && slot.extra >= length {
            return;
        }
        // Marks do not move with the pages: what had been returned there is no longer followed.
        moved = true;
    } else if op == map_op::BRK {
        if slot.extra <= result as u64 {
            return;
        }
        address = result as u64;
        length = slot.extra - address;
    }
    forget(address, length, moved);
}

#[inline(always)]
fn forget(address: u64, length: u64, moved: bool) {
    let (tgid, _) = ids::current();
    let Some(faults) = maps::faults(tgid) else { return };
    if let Some(pages) = call::pages(address, length) {
        marks::forget(faults, &pages, moved);
    }
}
