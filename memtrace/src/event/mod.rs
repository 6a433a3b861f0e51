//! Domain events: owned, in bytes and ns, absent where the kernel could not say. Made by `decode` and by the samplers.
mod fatal;
mod pressure;
mod sample;
mod walk;
mod words;

use memtrace_common::{COMM_BYTES, kind};

pub use fatal::{FatalEvent, FatalText, FatalWhat};
pub use pressure::{Level, MemoryEvents, PressureEvent, PressureTold, PressureWhat, Stalled};
pub use sample::{GoHeap, ProcessSample, Refaults};
pub use walk::{Extent, Stopped, Walk, WalkEnd, WalkPart};
pub use words::{LastWords, WordRange};

/// One incarnation of a process: unique while the programs are loaded, so a reused pid is another target. 0 is nobody.
pub type TargetId = u32;

/// What every kernel event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    pub tgid: u32,
    pub tid: u32,
    pub target: TargetId,
    pub cpu: u16,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Advise(AdviseEvent),
    Map(MapEvent),
    Oom(OomEvent),
    Reclaim(ReclaimEvent),
    Task(TaskEvent),
    Words(Box<LastWords>),
    Fatal(Box<FatalEvent>),
    Walk(Box<Walk>),
    /// From the files of the cgroup and the host, not from the ring.
    Pressure(Box<PressureEvent>),
    /// From the samplers.
    Sample(Box<ProcessSample>),
}

/// The six counters of `runtime.gcController` at the instant of the event (Go mgcpacer.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoCounters {
    pub heap_inuse_bytes: u64,
    pub heap_released_bytes: u64,
    pub heap_free_bytes: u64,
    pub total_alloc_bytes: u64,
    pub total_free_bytes: u64,
    pub mapped_ready_bytes: u64,
}

/// What every traced memory system call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub address: u64,
    /// Page-rounded as the kernel does.
    pub length_bytes: u64,
    /// Negative: -errno.
    pub result: i64,
    pub duration_ns: u64,
    /// RSS of the whole process before and after; `None` when it could not be read.
    pub rss_before_bytes: Option<u64>,
    pub rss_after_bytes: Option<u64>,
    /// Bytes of the range that were resident at enter, by the page tables.
    pub resident_bytes: Option<u64>,
    /// By how much the process's RSS fell through the call, in [0, length]; for mmap and brk growth 0.
    pub unmapped_bytes: Option<u64>,
    /// Anonymous memory this thread gave back to the page allocator inside the call (`--exact` only).
    pub freed_bytes: Option<u64>,
    /// Other threads changed the process's RSS meanwhile and the pages could not be counted one by one.
    pub approximate: bool,
    pub go: Option<GoCounters>,
    /// Key of the user stack in the kernel's stack map.
    pub stack_id: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct AdviseEvent {
    pub meta: Meta,
    pub call: Call,
    pub advice: i32,
    /// process_madvise rather than madvise.
    pub process_madvise: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapOp {
    Mmap,
    Munmap,
    Mremap,
    Brk,
}

#[derive(Clone, Debug, PartialEq)]
pub struct MapEvent {
    pub meta: Meta,
    pub call: Call,
    pub op: MapOp,
    /// mremap: the new length. brk: bytes the heap grew (positive) or shrank (negative), when the old break is known.
    pub new_length_bytes: Option<u64>,
    pub brk_delta_bytes: Option<i64>,
    pub prot: u32,
    pub flags: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct OomEvent {
    /// `tgid` and `target` are the victim's.
    pub meta: Meta,
    pub allocator_tgid: u32,
    pub what: OomWhat,
    pub go: Option<GoCounters>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum OomWhat {
    /// SIGKILL sent by the kernel.
    Kill { cgroup_v1_id: Option<u64>, cgroup_v2_id: Option<u64> },
    /// `oom:mark_victim`; a field is absent where this kernel's tracepoint lacks it.
    Victim {
        total_vm_bytes: Option<u64>,
        anon_rss_bytes: Option<u64>,
        file_rss_bytes: Option<u64>,
        shmem_rss_bytes: Option<u64>,
        page_tables_bytes: Option<u64>,
        oom_score_adj: Option<i64>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct ReclaimEvent {
    pub meta: Meta,
    /// true: the memory cgroup was at its limit; false: the host was short of memory (direct reclaim).
    pub memcg: bool,
    pub duration_ns: u64,
    pub reclaimed_bytes: u64,
    pub order: Option<u32>,
    pub cgroup_v1_id: Option<u64>,
    pub cgroup_v2_id: Option<u64>,
    pub go: Option<GoCounters>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct TaskEvent {
    /// `tgid` is the process concerned (fork: the child; kill: the one killed).
    pub meta: Meta,
    pub what: TaskWhat,
    /// CLOCK_BOOTTIME start of the process concerned.
    pub start_boottime_ns: Option<u64>,
    /// The process's name; kill: the sender's.
    pub comm: [u8; COMM_BYTES],
    pub cgroup_v1_id: Option<u64>,
    pub cgroup_v2_id: Option<u64>,
    /// Of the process concerned, where its memory was the current one.
    pub go: Option<GoCounters>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskWhat {
    Fork {
        parent_tgid: u32,
    },
    Exec {
        rss_bytes: Option<u64>,
    },
    /// wait(2) status encoding.
    Exit {
        status: i32,
        rss_bytes: Option<u64>,
    },
    /// SIGKILL from another process.
    Kill {
        sender_tgid: u32,
        si_code: i32,
    },
}

impl Event {
    /// `memtrace_common::kind` of its family; samples count as faults, whose figures they carry.
    pub fn kind(&self) -> u16 {
        match self {
            Event::Advise(_) => kind::ADVISE,
            Event::Map(_) => kind::MAP,
            // Of the family of kills.
            Event::Oom(_) | Event::Words(_) | Event::Walk(_) => kind::OOM,
            Event::Reclaim(_) => kind::RECLAIM,
            Event::Task(_) | Event::Fatal(_) => kind::TASK,
            Event::Pressure(_) => kind::PRESSURE,
            Event::Sample(_) => kind::FAULT,
        }
    }

    /// `None` for samples, which have no kernel origin.
    pub fn meta(&self) -> Option<&Meta> {
        match self {
            Event::Advise(e) => Some(&e.meta),
            Event::Map(e) => Some(&e.meta),
            Event::Oom(e) => Some(&e.meta),
            Event::Reclaim(e) => Some(&e.meta),
            Event::Task(e) => Some(&e.meta),
            Event::Words(e) => Some(&e.meta),
            Event::Fatal(e) => Some(&e.meta),
            Event::Pressure(e) => Some(&e.meta),
            Event::Walk(e) => Some(&e.meta),
            Event::Sample(_) => None,
        }
    }
}

impl TaskEvent {
    /// The NUL-padded name as text.
    pub fn comm_text(&self) -> String {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(COMM_BYTES);
        String::from_utf8_lossy(&self.comm[..end]).into_owned()
    }
}
