//! The only access to the rings: reserve, fill, submit; every outcome is counted. Nothing returns in between.
use crate::counters::{Outcome, count, count_submitted};
use crate::kread;
use crate::maps::{RING_EVENTS, RING_URGENT};
use crate::param;
use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE};
use bytemuck::Pod;
use memtrace_common::header::Header;
use memtrace_common::names::Hook;

const AVAILABLE_DATA: u64 = 0;
/// How full the ring is, is looked at with every so many events of a CPU: a look costs as much as a small read.
const LOOK_EVERY: u64 = 16;

/// Who and what a record is about.
#[derive(Clone, Copy)]
pub struct About {
    pub kind: u16,
    pub tgid: u32,
    pub tid: u32,
    pub target: u32,
    pub t_ns: u64,
    pub flags: u32,
}

impl About {
    #[inline(always)]
    pub fn header(&self, size: usize) -> Header {
        Header {
            t_ns: self.t_ns,
            tgid: self.tgid,
            tid: self.tid,
            target: self.target,
            cpu: kread::cpu() as u16,
            kind: self.kind,
            flags: self.flags,
            size: size as u32,
        }
    }
}

/// Into the main ring: no wakeup, the reader drains on a timer, unless more than `wakeup_bytes` already wait.
#[inline(always)]
pub fn event<T: Pod>(hook: Hook, fill: impl FnOnce(&mut T)) {
    event_for(hook, false, fill);
}

/// The same; where it `is_awaited` the reader is woken.
#[inline(always)]
pub fn event_for<T: Pod>(hook: Hook, is_awaited: bool, fill: impl FnOnce(&mut T)) {
    let Some(mut entry) = RING_EVENTS.reserve::<T>(0) else { return count(hook, Outcome::RingFull) };
    // SAFETY: the ring hands out memory of size_of::<T>(); T is valid for every bit pattern and `fill` writes it all.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    let is_full = count_submitted(hook).is_multiple_of(LOOK_EVERY)
        && RING_EVENTS.query(AVAILABLE_DATA) > param!(switches.wakeup_bytes) as u64;
    entry.submit(if is_full || is_awaited { BPF_RB_FORCE_WAKEUP as u64 } else { BPF_RB_NO_WAKEUP as u64 });
}

/// Into the small ring of rare records, which wakes the reader at once.
#[inline(always)]
pub fn urgent<T: Pod>(hook: Hook, fill: impl FnOnce(&mut T)) {
    let Some(mut entry) = RING_URGENT.reserve::<T>(0) else { return count(hook, Outcome::RingFull) };
    // SAFETY: as in `event`.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(BPF_RB_FORCE_WAKEUP as u64);
    count(hook, Outcome::Submitted);
}

/// Into the small ring, without a wakeup, and only into one half of it: the other is for what is rare. Whether there was
/// room.
#[inline(always)]
pub fn bulk<T: Pod>(hook: Hook, fill: impl FnOnce(&mut T)) -> bool {
    let is_half_full = 2 * RING_URGENT.query(AVAILABLE_DATA) > RING_URGENT.query(BPF_RB_RING_SIZE as u64);
    let entry = if is_half_full { None } else { RING_URGENT.reserve::<T>(0) };
    let Some(mut entry) = entry else {
        count(hook, Outcome::RingFull);
        return false;
    };
    // SAFETY: as in `event`.
    fill(unsafe { &mut *entry.as_mut_ptr() });
    entry.submit(BPF_RB_NO_WAKEUP as u64);
    count(hook, Outcome::Submitted);
    true
}
