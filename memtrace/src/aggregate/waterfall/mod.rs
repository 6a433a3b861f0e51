//! Every byte of a process's RSS in exactly one bucket, from what the kernel and the Go runtime say: pure, in one pass by
//! address. The buckets and `unknown` sum to RSS by construction: each resident byte is booked once.
mod advice;
mod bucket;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod kind;
mod tally;
#[cfg(test)]
mod tests;

pub use bucket::{Bucket, Reclaimer};
pub use kind::{Process, own_mappings_of_malloc};
pub use tally::Tally;

use crate::host::facts::Thp;
use std::ops::Range;

/// More than this share of RSS without a name must be said.
pub const UNKNOWN_LIMIT: f64 = 0.02;

/// A range of the process that the Go runtime knows; sorted by address and disjoint in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub range: Range<u64>,
    pub what: What,
}

/// All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A span of objects.
    Objects {
        /// Slots that hold an object, by their size.
        allocated: u64,
        /// All slots; what the span has beyond them is its tail.
        slots: u64,
        /// Not swept since the last GC: `allocated` still counts what that GC found dead.
        unswept: bool,
    },
    /// A span of goroutine stacks, so much of it in use.
    Stacks { used: u64 },
    /// Free and not yet given back.
    Idle,
    /// Given back.
    Released,
    /// The runtime's own data.
    Metadata(Metadata),
    /// Not Go's: a block of the C library's malloc.
    Malloc,
}

/// What the runtime keeps beside objects and stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// mspans, mcaches, profiling buckets and other structures that are never freed.
    Persistent,
    SpanTable,
    /// Work buffers of the collector.
    GcWork,
    GcBits,
    PageAllocator,
    Arenas,
    Profiling,
    /// The system stack of a thread.
    ThreadStack,
}

/// What is said once of the Go heap and the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// gcController.heapMarked; `None`: the runtime is not read.
    pub marked_bytes: Option<u64>,
    pub thp: Option<Thp>,
    /// `go1.26.6`; `None`: not Go, or unknown.
    pub go_version: Option<String>,
    /// Of the kernel.
    pub release: String,
    /// Largest first.
    pub free_slots: Vec<FreeSlots>,
    /// Free stacks that Ps keep: their spans count them as used.
    pub cached_stack_bytes: u64,
}

/// Slots that a size class has free in spans that are in use.
#[derive(Clone, Debug, PartialEq)]
pub struct FreeSlots {
    pub elem_bytes: u64,
    pub free_bytes: u64,
    pub used_ratio: f64,
}

/// A mapping that is in `other_anonymous`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anonymous {
    pub range: Range<u64>,
    pub name: String,
    pub bytes: u64,
    /// The function that mapped it, where calls were traced.
    pub creator: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waterfall {
    pub rss_bytes: u64,
    /// Never empty ones; in the order of the account.
    pub buckets: Vec<Bucket>,
    pub unknown_bytes: u64,
    pub swapped_bytes: u64,
    /// The largest ones.
    pub anonymous: Vec<Anonymous>,
}

impl Waterfall {
    pub fn bytes(&self, name: &str) -> u64 {
        self.buckets.iter().find(|b| b.name == name).map_or(0, |b| b.bytes)
    }

    /// Given back by Go, and in memory again with the huge page around it.
    pub fn reinflated_bytes(&self) -> u64 {
        self.bytes("released_thp_reinflation")
    }

    pub fn share(&self, bytes: u64) -> f64 {
        if self.rss_bytes == 0 { 0.0 } else { bytes as f64 / self.rss_bytes as f64 }
    }

    pub fn is_mostly_known(&self) -> bool {
        self.share(self.unknown_bytes) <= UNKNOWN_LIMIT
    }
}
