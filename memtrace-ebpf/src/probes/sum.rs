//! Calls that nobody wants to be told of one by one: added up where they happen.
use super::call::Done;
use crate::counters::{Outcome, count};
use crate::inflight::InFlight;
use crate::range::page_align;
use crate::{maps, param, shared};
use memtrace_common::UNKNOWN;
use memtrace_common::advice::unmaps;
use memtrace_common::effect::{Drops, Seen, growth};
use memtrace_common::names::Hook;
use memtrace_common::records::map_op;
use memtrace_common::sums::{Ends, Sums, Told};

/// The sums of the target, if its calls are summed.
#[inline(always)]
fn of(slot: &InFlight) -> Option<&'static mut Sums> {
    if param!(switches.sums) == 1 { maps::sums::of(slot.target) } else { None }
}

/// Whether the call is summed.
#[inline(always)]
pub fn advise(slot: &InFlight, done: &Done, advice: i32) -> bool {
    let Some(sums) = of(slot).and_then(|sums| sums.advised(advice)) else { return false };
    let drops = Drops::of_advice(advice, done.result == 0);
    sums.apply(&Told::of(&ends(slot, done), drops, unmaps(advice)), shared::add);
    count(Hook::Advise, Outcome::Summed);
    true
}

/// Whether the call is summed.
#[inline(always)]
pub fn map(slot: &InFlight, done: &Done, op: u32) -> bool {
    let Some(sums) = of(slot) else { return false };
    if op == map_op::MUNMAP {
        let drops = Drops::of_map(op, done.result, 0);
        sums.munmap.apply(&Told::of(&ends(slot, done), drops, true), shared::add);
    } else {
        let length = page_align(slot.length, param!(mm.page_shift));
        let (failed, delta) = growth(op, done.result, slot.address, length, slot.extra);
        let sums = match op {
            map_op::MMAP => &mut sums.mmap,
            map_op::MREMAP => &mut sums.mremap,
            _ => &mut sums.brk,
        };
        sums.apply(failed, delta, shared::add);
    }
    count(Hook::Map, Outcome::Summed);
    true
}

#[inline(always)]
fn ends(slot: &InFlight, done: &Done) -> Ends {
    let seen = Seen {
        flags: done.flags,
        rss_before_pages: slot.rss_before,
        rss_after_pages: done.rss_after,
        resident_pages: slot.resident,
    };
    Ends {
        seen,
        result: done.result,
        length_bytes: page_align(slot.length, param!(mm.page_shift)),
        freed_pages: if param!(switches.exact) == 1 { slot.freed } else { UNKNOWN },
        duration_ns: done.t_ns.wrapping_sub(slot.t_ns),
        page_shift: param!(mm.page_shift),
    }
}
