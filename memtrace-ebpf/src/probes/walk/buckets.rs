//! `runtime.mbuckets`, a list.
use super::{current, first_stop};
use crate::emit;
use crate::kread::{self, user_bytes, word_at};
use crate::shared;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::walk::*;

/// Buckets looked at for one record, and records at most: a bucket is at least a head and its counts.
const BUCKETS: u32 = 64;
const RECORDS: u32 = 1024;
/// Buckets between two looks at the clock.
const LOOK_EVERY: u32 = 8;

#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn walk_buckets() -> u64 {
    for _ in 0..RECORDS {
        if send_buckets() != stop::NONE as u64 {
            return 0;
        }
    }
    0
}

/// One record of buckets; why there is no further one.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn send_buckets() -> u64 {
    let Some((plan, header)) = current(kind::BUCKETS, size_of::<BucketsRecord>()) else {
        return stop::IMPLAUSIBLE as u64;
    };
    let mut why = first_stop(plan.mbuckets, plan.state.next_bucket);
    if why == stop::NONE {
        let sent = emit::bulk(Hook::Walk, |record: &mut BucketsRecord| {
            record.header = header;
            why = fill_buckets(plan, record);
        });
        why = if sent { why } else { stop::RING };
    }
    plan.state.buckets_stop = why;
    why as u64
}

/// What bounds a place or a length is loaded anew where it is wanted: before 5.16 the verifier forgets the bounds of what
/// the compiler puts aside on the stack.
#[inline(always)]
fn fill_buckets(plan: &mut WalkPlan, record: &mut BucketsRecord) -> u32 {
    let (mut count, mut why) = (0, stop::NONE);
    shared::store(&mut record.used, 0);
    for i in 0..BUCKETS {
        let next = shared::load(&plan.state.next_bucket);
        if next == 0 {
            why = stop::END;
            break;
        }
        if i % LOOK_EVERY == 0 && kread::now() > plan.state.began_ns + plan.buckets_ns {
            why = stop::TIME;
            break;
        }
        if shared::load(&record.used) > (BUCKET_STARTS - BUCKET_HEAD_BYTES) as u64 {
            break;
        }
        if plan.state.buckets + count >= WALK_BUCKETS {
            why = stop::COUNT;
            break;
        }
        let start = shared::load(&record.used);
        let bytes = shared::load_u32(&plan.bucket_bytes) as u64;
        if user_bytes::<BUCKET_BYTES, BUCKET_STARTS, BUCKET_HEAD_BYTES>(&mut record.bytes, start, bytes, next) != 0 {
            why = stop::UNREADABLE;
            break;
        }
        let frames = bucket_word(record, &plan.bucket_nstk);
        if frames > (BUCKET_REST_BYTES / 8) as u64 {
            why = stop::IMPLAUSIBLE;
            break;
        }
        let head = shared::load_u32(&plan.bucket_bytes) as u64;
        let (start, behind) = (shared::load(&record.used) + head, next + head);
        let rest = frames * 8 + shared::load_u32(&plan.record_bytes) as u64;
        if user_bytes::<BUCKET_BYTES, BUCKET_STARTS, BUCKET_REST_BYTES>(&mut record.bytes, start, rest, behind) != 0 {
            why = if rest > BUCKET_REST_BYTES as u64 { stop::IMPLAUSIBLE } else { stop::UNREADABLE };
            break;
        }
        let following = bucket_word(record, &plan.bucket_allnext);
        shared::store(&mut plan.state.next_bucket, following);
        shared::store(&mut record.used, start + rest);
        count += 1;
    }
    record.count = count;
    plan.state.buckets += count;
    why
}

/// A field of the bucket whose head was read last.
#[inline(always)]
fn bucket_word(record: &BucketsRecord, field: &u32) -> u64 {
    let at = shared::load(&record.used) + shared::load_u32(field) as u64;
    word_at::<BUCKET_BYTES, BUCKET_STARTS>(&record.bytes, at)
}
