//! The heap profile and the goroutines of a process that SIGKILL ends, as far as the kernel walks them on its way out.
use crate::header::Header;
use bytemuck::{Pod, Zeroable};
use core::mem::size_of;

/// All of it takes so long at most, and the buckets so much of it; a read more, since the clock is read between reads.
pub const WALK_NS: u64 = 600_000;
pub const WALK_BUCKETS_NS: u64 = 400_000;
/// Buckets walked at most: the newest.
pub const WALK_BUCKETS: u64 = 4096;
/// Goroutines looked at, about: of more, every second run is, or every third, and so on.
pub const WALK_GOROUTINES: u64 = 4096;
/// Neighbours in `allgs` that are looked at together.
pub const RUN: usize = 16;
/// Of one record.
pub const RUNS: usize = 8;
/// More than any process has.
pub const WALK_LIST: u64 = 1 << 32;
/// Room for buckets; each starts below the first, and the longest fits behind it.
pub const BUCKET_STARTS: usize = 8 << 10;
pub const BUCKET_BYTES: usize = BUCKET_STARTS + 4096;
/// What is before a bucket's stack; and its stack and counts together.
pub const BUCKET_HEAD_BYTES: usize = 64;
pub const BUCKET_REST_BYTES: usize = 2048;
/// Of a goroutine, from its beginning on.
pub const WINDOW_BYTES: usize = 512;

/// Value of the WALK_PLANS map; the key is the tgid (u32).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct WalkPlan {
    /// Absolute addresses of variables of the runtime; 0: that one is not walked.
    pub mbuckets: u64,
    pub mem_profile_rate: u64,
    /// `runtime.memstats.numgc` (u32).
    pub collections: u64,
    pub allgs: u64,
    /// [`WALK_NS`], [`WALK_BUCKETS_NS`].
    pub all_ns: u64,
    pub buckets_ns: u64,
    /// Sizes and offsets, in bytes. A bucket is its head, its stack and its record, one behind the other.
    pub bucket_bytes: u32,
    pub bucket_allnext: u32,
    pub bucket_nstk: u32,
    pub record_bytes: u32,
    /// So much of each goroutine is read.
    pub window_bytes: u32,
    pub stack: u32,
    pub atomicstatus: u32,
    pub waitreason: u32,
    pub waitsince: u32,
    pub startpc: u32,
    pub gopc: u32,
    pub pad: u32,
    pub state: WalkState,
}

/// How far it has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct WalkState {
    /// CLOCK_MONOTONIC.
    pub began_ns: u64,
    pub ended_ns: u64,
    pub rate_bytes: u64,
    pub collections: u64,
    /// Buckets that were sent, and the address of the one that follows.
    pub buckets: u64,
    pub next_bucket: u64,
    /// The array of pointers to goroutines, and how many there are.
    pub list: u64,
    pub listed: u64,
    /// Where in it the next run begins, how many goroutines were looked at, and of how many runs each was one.
    pub next_goroutine: u64,
    pub goroutines: u64,
    pub one_in: u64,
    /// Of those looked at.
    pub unreadable: u64,
    /// [`stop`].
    pub buckets_stop: u32,
    pub goroutines_stop: u32,
}

/// Why a walk ended.
pub mod stop {
    /// It did not: it was not begun, or goes on.
    pub const NONE: u32 = 0;
    /// There are no more.
    pub const END: u32 = 1;
    /// So many are walked at most.
    pub const COUNT: u32 = 2;
    pub const TIME: u32 = 3;
    /// A page that is not resident, or a pointer to nowhere.
    pub const UNREADABLE: u32 = 4;
    /// The ring had no room.
    pub const RING: u32 = 5;
    /// What was read cannot be.
    pub const IMPLAUSIBLE: u32 = 6;
}

/// Buckets in the order of the list.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct BucketsRecord {
    pub header: Header,
    pub count: u64,
    /// Of `bytes`; what is behind is nothing.
    pub used: u64,
    /// As they are in the process, one behind the other.
    pub bytes: [u8; BUCKET_BYTES],
}

/// A goroutine as it is in the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct GoroutineItem {
    pub stack_bytes: u64,
    pub startpc: u64,
    pub gopc: u64,
    pub waitsince: u64,
    /// All ones: it could not be read.
    pub atomicstatus: u32,
    pub waitreason: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct GoroutinesRecord {
    pub header: Header,
    pub count: u64,
    /// What is behind `count` is nothing.
    pub items: [GoroutineItem; RUN * RUNS],
    /// The walk's own.
    pub pointers: [u8; 8 * RUN],
    pub window: [u8; WINDOW_BYTES],
}

/// The walk is over.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct WalkEndRecord {
    pub header: Header,
    pub state: WalkState,
}

const _: () = assert!(BUCKET_STARTS.is_power_of_two() && WINDOW_BYTES.is_power_of_two());
const _: () = assert!(BUCKET_HEAD_BYTES + BUCKET_REST_BYTES <= BUCKET_BYTES - BUCKET_STARTS);
const _: () = assert!(size_of::<BucketsRecord>() < 1 << 16 && size_of::<GoroutinesRecord>() < 1 << 16);
