//! How one call is added.
use super::{CallSums, GrowthSums, LATENCIES, LATENCY_LOG2};
use crate::UNKNOWN;
use crate::effect::{Drops, Seen};
use crate::log2;

/// One call, in bytes; [`UNKNOWN`] where nobody can say.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub failed: bool,
    pub approximate: bool,
    /// Success unmaps at once, so that what fell was resident before even if nobody counted it.
    pub drops: bool,
    pub length_bytes: u64,
    pub unmapped_bytes: u64,
    pub freed_bytes: u64,
    pub resident_bytes: u64,
    pub duration_ns: u64,
}

/// A call as both its ends show it.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    pub seen: Seen,
    pub result: i64,
    /// Page-rounded.
    pub length_bytes: u64,
    /// [`UNKNOWN`] where nobody counted.
    pub freed_pages: u64,
    pub duration_ns: u64,
    pub page_shift: u32,
}

impl Told {
    /// `unmaps`: see [`Told::drops`].
    #[inline(always)]
    pub fn of(ends: &Ends, drops: Drops, unmaps: bool) -> Self {
        let shift = ends.page_shift;
        let (unmapped, approximate) = ends.seen.unmapped(ends.length_bytes >> shift, drops);
        Self {
            failed: ends.result < 0,
            approximate,
            drops: unmaps,
            length_bytes: ends.length_bytes,
            unmapped_bytes: bytes(unmapped, shift),
            freed_bytes: bytes(ends.freed_pages, shift),
            resident_bytes: bytes(ends.seen.resident_pages, shift),
            duration_ns: ends.duration_ns,
        }
    }
}

#[inline(always)]
const fn bytes(pages: u64, shift: u32) -> u64 {
    if pages == UNKNOWN { UNKNOWN } else { pages << shift }
}

impl CallSums {
    /// `add`: how a number of them grows.
    #[inline(always)]
    pub fn apply(&mut self, call: &Told, add: impl Fn(&mut u64, u64)) {
        add(&mut self.calls, 1);
        add(&mut self.log2_ns[latency(call.duration_ns)], 1);
        if call.duration_ns > self.max_ns {
            self.max_ns = call.duration_ns;
        }
        if call.approximate {
            add(&mut self.approximate_calls, 1);
        }
        if call.unmapped_bytes != UNKNOWN {
            add(&mut self.unmapped_bytes, call.unmapped_bytes);
            add(&mut self.unmapped_calls, 1);
        }
        if call.freed_bytes != UNKNOWN {
            add(&mut self.freed_bytes, call.freed_bytes);
            add(&mut self.freed_calls, 1);
        }
        if call.resident_bytes != UNKNOWN {
            add(&mut self.resident_bytes, call.resident_bytes);
            add(&mut self.resident_calls, 1);
        }
        let returned = if call.freed_bytes != UNKNOWN { call.freed_bytes } else { call.unmapped_bytes };
        if returned == UNKNOWN {
            add(&mut self.unmeasured_calls, 1);
        } else {
            add(&mut self.returned_bytes, returned);
        }
        if call.failed {
            return add(&mut self.failed_calls, 1);
        }
        add(&mut self.asked_bytes, call.length_bytes);
        let before = match call.resident_bytes {
            UNKNOWN if call.drops => call.unmapped_bytes,
            resident => resident,
        };
        if before != UNKNOWN && returned != UNKNOWN {
            add(&mut self.effective_bytes, returned.min(before));
            add(&mut self.effective_of_bytes, before);
        }
    }
}

impl GrowthSums {
    /// `delta_bytes`: by how much there is more; of a failed call 0.
    #[inline(always)]
    pub fn apply(&mut self, failed: bool, delta_bytes: i64, add: impl Fn(&mut u64, u64)) {
        add(&mut self.calls, 1);
        if failed {
            add(&mut self.failed_calls, 1);
        }
        if delta_bytes < 0 {
            add(&mut self.shrunk_bytes, delta_bytes.unsigned_abs());
        } else {
            add(&mut self.grown_bytes, delta_bytes as u64);
        }
    }
}

/// The bucket that a duration is counted in.
#[inline(always)]
pub const fn latency(ns: u64) -> usize {
    log2::bucket(ns, LATENCY_LOG2, LATENCIES)
}
