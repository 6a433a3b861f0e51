use super::TargetId;
use memtrace_common::advice::GROUPS;
use memtrace_common::refault::BUCKETS;
use memtrace_common::sums::Sums;

/// One look at a target from user space: /proc, the Go runtime, and the kernel's aggregates for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSample {
    pub target: TargetId,
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// VmRSS (RssAnon + RssFile + RssShmem).
    pub rss_bytes: Option<u64>,
    /// VmHWM: the highest RSS of the process's whole life.
    pub rss_peak_bytes: Option<u64>,
    /// smaps_rollup LazyFree: MADV_FREE pages still resident. Read only for processes that use MADV_FREE.
    pub lazy_bytes: Option<u64>,
    pub go: Option<GoHeap>,
    /// Page faults of all threads since it became a target; `None` when faults are not tracked.
    pub faults: Option<u64>,
    /// Handled by the kernel, but by no event, at least: the kernel's own touches, and what it started no program for.
    pub unseen_faults: Option<u64>,
    /// Totals since it became a target; `None` when faults are not tracked.
    pub refaults: Option<Refaults>,
    /// Its memory calls since it became a target, as far as they are not told one by one; `None`: all are, or it is gone.
    pub sums: Option<Box<Sums>>,
}

/// Go heap totals, read from the target's memory (`runtime.gcController`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoHeap {
    pub inuse_bytes: u64,
    pub idle_bytes: u64,
    pub released_bytes: u64,
}

/// See `memtrace_common::refault::RefaultStats`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refaults {
    /// Returned bytes faulted in again, by `memtrace_common::advice::GROUP_NAMES`.
    pub bytes: [u64; GROUPS],
    /// Pages by log2 of ns from return to re-fault.
    pub log2_ns: [u64; BUCKETS],
    pub max_ns: u64,
    /// Returned bytes whose re-faults cannot be seen.
    pub untracked_bytes: u64,
}
