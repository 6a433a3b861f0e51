//! What a traced call's enter leaves for its exit: one slot per thread of the host (its tid in the initial
//! pid namespace, modulo), an array instead of a hash because both ends of every memory call on the host come here.

use crate::scratch::Counters;

/// `thread` 0 = free. Written only by the thread itself, but two threads that collide and enter within the same few
/// nanoseconds may both claim it (benign race: the loser's exit finds another thread and counts as filtered).
#[repr(C)]
pub struct InFlight {
    pub thread: u32,
    /// A `map_op`, or `ADVISE`, `PROCESS_ADVISE`, `MEMCG_RECLAIM`, `DIRECT_RECLAIM`.
    pub op: u32,
    pub t_ns: u64,
    pub address: u64,
    pub length: u64,
    /// madvise: advice. mmap: prot | flags << 32. mremap: new length.
    pub extra: u64,
    /// mremap: flags.
    pub extra2: u64,
    pub go_counters: u64,
    pub target: u32,
    pub rss_known: u32,
    pub rss_before: u64,
    pub mm: u64,
    /// Pages of the range resident at enter; UNKNOWN when not counted.
    pub resident: u64,
    /// Of these, how many were marked as returned.
    pub marked: u64,
    /// Pages freed by this thread since enter (`--exact`).
    pub freed: u64,
    pub activity: Seen,
    pub epoch: u32,
    /// The process has threads: see `target::flags::THREADS`.
    pub threads: u32,
    pub pad: u32,
    /// Another traced call of the process was in flight at enter.
    pub crowded: u32,
    /// Room for reading RSS, this thread's alone.
    pub counters: Counters,
}

/// What the threads of a process do to its RSS: tells a call whether it was alone. All atomic.
#[repr(C)]
pub struct Activity {
    pub enters: u64,
    pub exits: u64,
    pub faults: u64,
}

/// A reading of the process's activity cell.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Seen {
    pub enters: u64,
    pub exits: u64,
    pub faults: u64,
}

pub const ADVISE: u32 = 16;
pub const PROCESS_ADVISE: u32 = 17;
pub const MEMCG_RECLAIM: u32 = 18;
pub const DIRECT_RECLAIM: u32 = 19;

/// A slot whose owner has not come back for this long was abandoned (its exit was missed) and may be taken.
pub const STALE_NS: u64 = 60_000_000_000;
