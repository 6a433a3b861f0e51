//! Start-up parameters of the kernel side: one read-only global, constants to the verifier, so that code for what this
//! kernel lacks is pruned. Offsets are bytes; [`ABSENT`] means this kernel has no such field.
mod pids;
mod registers;

use bytemuck::{Pod, Zeroable};

pub use pids::PidOffsets;
pub use registers::RegisterOffsets;

pub const ABSENT: u32 = u32::MAX;

/// Name of the global in the object.
pub const GLOBAL: &str = "PARAMS";

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Params {
    pub task: TaskOffsets,
    pub pids: PidOffsets,
    pub mm: MmOffsets,
    pub cgroup: CgroupOffsets,
    pub trace: TraceOffsets,
    pub registers: RegisterOffsets,
    pub switches: Switches,
}

/// `struct task_struct`, `struct signal_struct`, from BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskOffsets {
    pub mm: u32,
    pub tgid: u32,
    pub pid: u32,
    pub comm: u32,
    pub cgroups: u32,
    pub signal: u32,
    pub exit_code: u32,
    pub real_parent: u32,
    pub start_boottime: u32,
    /// `task_struct.rss_stat` (SPLIT_RSS_COUNTING, up to 6.1): the thread's cached part of the counters, offset of
    /// `.count`.
    pub rss_cache: u32,
    /// `signal_struct.live`: threads not yet exited (atomic_t).
    pub signal_live: u32,
    /// `signal_struct.nr_threads`, `signal_struct.group_exit_code` (int).
    pub signal_nr_threads: u32,
    pub signal_group_exit_code: u32,
}

/// `struct mm_struct`, `struct percpu_counter`, `struct page`, from BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct MmOffsets {
    pub rss_stat: u32,
    pub pgd: u32,
    /// One of [`rss_mode`].
    pub rss_mode: u32,
    pub percpu_counter_size: u32,
    pub percpu_counter_count: u32,
    pub percpu_counter_counters: u32,
    /// `enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES }`.
    pub member_file: u32,
    pub member_anon: u32,
    pub member_shmem: u32,
    /// Possible CPUs (highest number + 1).
    pub cpus: u32,
    /// `bpf_array.pptrs`: to learn each CPU's per-CPU offset from a map of our own, without kallsyms.
    pub bpf_array_pptrs: u32,
    /// `page.mapping` (its low bit says anonymous).
    pub page_mapping: u32,
    pub page_shift: u32,
    /// `mm_struct.mm_users` (atomic_t): 1 when one thread has the mm to itself.
    pub users: u32,
    /// `mm_struct.brk`.
    pub brk: u32,
    pub page_tables: u32,
}

/// Meaning of [`MmOffsets::rss_mode`].
pub mod rss_mode {
    /// The counters cannot be read here.
    pub const NONE: u32 = 0;
    /// Up to 6.1: `atomic_long_t count[]` plus a cache in each task.
    pub const ATOMIC: u32 = 1;
    /// Since 6.2: `struct percpu_counter rss_stat[]`.
    pub const PERCPU: u32 = 2;
}

/// Task to cgroup id, from BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct CgroupOffsets {
    /// `css_set.subsys`, `css_set.dfl_cgrp`, `cgroup_subsys_state.cgroup`, `cgroup.kn`, `kernfs_node.id`.
    pub css_set_subsys: u32,
    pub css_set_dfl: u32,
    pub css_cgroup: u32,
    pub cgroup_kn: u32,
    pub kn_id: u32,
    /// `enum cgroup_subsys_id: memory_cgrp_id`; [`ABSENT`] without a memory controller.
    pub memory_subsys: u32,
}

/// Offsets inside the BPF context of the classic tracepoints.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TraceOffsets {
    /// First argument of `syscalls:sys_enter_*` (u64 each) and the result of `sys_exit_*`: BTF `syscall_tp_t` first,
    /// the format file second (they differ on RHEL 9).
    pub sys_enter_args: u32,
    pub sys_exit_ret: u32,
    /// `oom:mark_victim`.
    pub victim_pid: u32,
    pub victim_total_vm: u32,
    pub victim_anon_rss: u32,
    pub victim_file_rss: u32,
    pub victim_shmem_rss: u32,
    pub victim_page_tables: u32,
    pub victim_oom_score_adj: u32,
    /// `vmscan:mm_vmscan_{memcg,direct}_reclaim_{begin,end}`.
    pub memcg_begin_order: u32,
    pub memcg_end_reclaimed: u32,
    pub direct_begin_order: u32,
    pub direct_end_reclaimed: u32,
}

/// What to do; 0 or 1 unless said otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Switches {
    /// memtrace itself, never observed.
    pub self_tgid: u32,
    /// Count pages freed inside calls (`--exact`).
    pub exact: u32,
    /// Take user stacks.
    pub stacks: u32,
    /// Faults of targets are counted and matched: the fault programs are attached.
    pub faults: u32,
    /// Every exec on the host makes a provisional target (patterns, `-a`).
    pub discover: u32,
    /// Memory calls of targets are summed in the kernel, except of those that are [`crate::target::flags::TOLD`].
    pub sums: u32,
    /// Drop memory calls shorter than this many pages (`trace --min-bytes`); 0: none.
    pub min_pages: u32,
    /// Families that are emitted, bit = 1 << kind.
    pub families: u32,
    /// Drain threshold: wake the reader when this many bytes wait in the ring.
    pub wakeup_bytes: u32,
}
