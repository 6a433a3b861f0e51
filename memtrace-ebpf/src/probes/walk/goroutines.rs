//! `runtime.allgs`, an array of pointers.
use super::{current, first_stop};
use crate::emit;
use crate::kread::{self, user_bytes, word_at};
use crate::shared;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::walk::*;

/// Records at most: each has the runs of one part of the array.
const RECORDS: u64 = 2 * WALK_GOROUTINES / (RUN * RUNS) as u64;

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_goroutines() -> u64 {
    for _ in 0..RECORDS {
        if send_goroutines() != stop::NONE as u64 {
            return 0;
        }
    }
    0
}

/// One record of goroutines; why there is no further one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn send_goroutines() -> u64 {
    let Some((plan, header)) = current(kind::GOROUTINES, size_of::<GoroutinesRecord>()) else {
        return stop::IMPLAUSIBLE as u64;
    };
    let mut why = first_stop(plan.allgs, plan.state.listed);
    if plan.state.listed > WALK_LIST {
        why = if why == stop::NONE { stop::IMPLAUSIBLE } else { why };
    }
    plan.state.one_in = plan.state.listed.saturating_sub(1) / WALK_GOROUTINES + 1;
    if why == stop::NONE {
        let sent = emit::bulk(Hook::Walk, |record: &mut GoroutinesRecord| {
            record.header = header;
            why = fill_goroutines(plan, record);
        });
        why = if sent { why } else { stop::RING };
    }
    plan.state.goroutines_stop = why;
    why as u64
}

#[inline(always)]
fn fill_goroutines(plan: &mut WalkPlan, record: &mut GoroutinesRecord) -> u32 {
    let (mut count, mut unreadable, mut why) = (0, 0, stop::NONE);
    let mut from = plan.state.next_goroutine;
    for run in 0..RUNS {
        let listed = shared::load(&plan.state.listed);
        if from >= listed {
            why = if plan.state.one_in > 1 { stop::COUNT } else { stop::END };
            break;
        }
        if kread::now() > plan.state.began_ns + plan.all_ns {
            why = stop::TIME;
            break;
        }
        let left = listed - from;
        let many = if left > RUN as u64 { RUN as u64 } else { left };
        let at = plan.state.list.wrapping_add(8 * from);
        if user_bytes::<{ 8 * RUN }, 1, { 8 * RUN }>(&mut record.pointers, 0, 8 * many, at) != 0 {
            why = stop::UNREADABLE;
            break;
        }
        for i in 0..RUN {
            if i as u64 >= many {
                break;
            }
            let goroutine = word_at::<{ 8 * RUN }, { 8 * RUN }>(&record.pointers, 8 * i as u64);
            unreadable += read_goroutine(plan, record, run * RUN + i, goroutine);
            count += 1;
        }
        from += RUN as u64 * plan.state.one_in;
    }
    record.count = count;
    plan.state.next_goroutine = from;
    plan.state.goroutines += count;
    plan.state.unreadable += unreadable;
    why
}

/// Puts it into its place; 1 when it could not be read. Without a branch, for the verifier.
#[inline(always)]
fn read_goroutine(plan: &WalkPlan, record: &mut GoroutinesRecord, index: usize, goroutine: u64) -> u64 {
    let bytes = shared::load_u32(&plan.window_bytes) as u64;
    let refused = user_bytes::<WINDOW_BYTES, 1, WINDOW_BYTES>(&mut record.window, 0, bytes, goroutine);
    let word = |record: &GoroutinesRecord, at: &u32| {
        word_at::<WINDOW_BYTES, WINDOW_BYTES>(&record.window, shared::load_u32(at) as u64)
    };
    let half = |record: &GoroutinesRecord, at: &u32| word(record, at) >> (8 * (shared::load_u32(at) & 7));
    let low = word(record, &plan.stack);
    let high = word_at::<WINDOW_BYTES, WINDOW_BYTES>(&record.window, shared::load_u32(&plan.stack) as u64 + 8);
    let item = GoroutineItem {
        stack_bytes: high.wrapping_sub(low),
        startpc: word(record, &plan.startpc),
        gopc: word(record, &plan.gopc),
        waitsince: word(record, &plan.waitsince),
        atomicstatus: half(record, &plan.atomicstatus) as u32 | (refused >> 63) as u32,
        waitreason: half(record, &plan.waitreason) as u32 & 0xff,
    };
    if let Some(place) = record.items.get_mut(index) {
        *place = item;
    }
    (refused as u64) >> 63
}
