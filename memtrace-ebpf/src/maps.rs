//! All maps, private; everybody else calls these functions. Values that several CPUs write are written with atomics.
macro_rules! shared {
    ($expr:expr) => {
        // SAFETY: the pointer comes from a lookup that the verifier has checked for null; map memory outlives the
        // program run, and concurrent writers only use atomics or accept the benign race named at the write.
        $expr.map(|p| unsafe { &mut *p })
    };
}

pub mod adopted;
pub mod fatal;
pub mod sums;
pub mod walk;
pub mod words;

use crate::ids;
use crate::inflight::{Activity, InFlight};
use crate::probes::{fault::Last, reclaim::Stall};
use crate::scratch::{Chunk, ROOMS, Scratch};
use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, RingBuf, StackTrace};
use memtrace_common::counters::ProgramCounters;
use memtrace_common::host::Host;
use memtrace_common::names::HOOKS;
use memtrace_common::refault::{ChunkKey, FaultStats};
use memtrace_common::sums::Sums;
use memtrace_common::target::Target;

/// In-flight slots; two threads whose tids are equal modulo this cannot both be inside a traced call.
pub const SLOTS: u32 = 16384;
/// Activity cells; targets that share one only cause false "approximate" flags.
pub const CELLS: u32 = 4096;

// Sizes are defaults; the loader may change those of EVENTS, TARGETS, FAULTS, SUMS and CHUNKS.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);
#[map]
static URGENT: RingBuf = RingBuf::with_byte_size(1 << 20, 0);
#[map]
static TARGETS: HashMap<u32, Target> = HashMap::with_max_entries(16384, 0);
#[map]
static FAULTS: HashMap<u32, FaultStats> = HashMap::with_max_entries(16384, 0);
#[map]
static CHUNKS: HashMap<ChunkKey, Chunk> = HashMap::with_max_entries(4096, 0);
#[map]
static COUNTERS: PerCpuArray<ProgramCounters> = PerCpuArray::with_max_entries(HOOKS.len() as u32, 0);
#[map]
static INFLIGHT: Array<InFlight> = Array::with_max_entries(SLOTS, 0);
#[map]
static ACTIVITY: Array<Activity> = Array::with_max_entries(CELLS, 0);
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(ROOMS, 0);
#[map]
static BLANK: Array<Blank> = Array::with_max_entries(1, 0);
#[map]
static HOST: Array<Host> = Array::with_max_entries(1, 0);
#[map]
static CPU_OFFSETS: Array<u64> = Array::with_max_entries(1024, 0);
#[map]
static LAST_FAULT: PerCpuArray<Last> = PerCpuArray::with_max_entries(1, 0);
#[map]
static STALLS: Array<Stall> = Array::with_max_entries(CELLS, 0);
#[map]
static STACKS: StackTrace = StackTrace::with_max_entries(16384, 0);

/// Zeros to insert from; never written.
#[repr(C)]
pub struct Blank {
    chunk: Chunk,
    faults: FaultStats,
    sums: Sums,
}

#[inline(always)]
fn blank() -> Option<&'static Blank> {
    // SAFETY: an element of a map that is never written.
    BLANK.get_ptr(0).map(|blank| unsafe { &*blank })
}

pub(crate) const RING_EVENTS: &RingBuf = &EVENTS;
pub(crate) const RING_URGENT: &RingBuf = &URGENT;

#[inline(always)]
pub fn target(tgid: u32) -> Option<&'static mut Target> {
    shared!(TARGETS.get_ptr_mut(&tgid))
}

#[inline(always)]
pub fn add_target(tgid: u32, target: &Target) -> bool {
    TARGETS.insert(&tgid, target, BPF_NOEXIST as u64).is_ok()
}

/// False: somebody else has removed it first.
#[inline(always)]
pub fn remove_target(tgid: u32) -> bool {
    TARGETS.remove(&tgid).is_ok()
}

#[inline(always)]
pub fn faults(tgid: u32) -> Option<&'static mut FaultStats> {
    shared!(FAULTS.get_ptr_mut(&tgid))
}

/// Starts the fault figures of a new target, over those of a dead process with the same tgid.
#[inline(always)]
pub fn start_faults(tgid: u32, target: u32) -> bool {
    if blank().is_none_or(|blank| FAULTS.insert(&tgid, &blank.faults, BPF_ANY as u64).is_err()) {
        return false;
    }
    let Some(faults) = faults(tgid) else { return false };
    faults.target = target;
    true
}

#[inline(always)]
pub fn remove_faults(tgid: u32) {
    // Absent is fine: fault tracking may be off.
    let _ = FAULTS.remove(&tgid);
}

#[inline(always)]
pub fn chunk(key: &ChunkKey) -> Option<&'static mut Chunk> {
    shared!(CHUNKS.get_ptr_mut(key))
}

/// The chunk's marks, made blank when it has none yet; `None` when the table is full.
#[inline(always)]
pub fn chunk_or_new(key: &ChunkKey) -> Option<&'static mut Chunk> {
    if let Some(p) = CHUNKS.get_ptr_mut(key) {
        return shared!(Some(p));
    }
    // Losing the race to another thread of the process is fine: the entry is there.
    let _ = CHUNKS.insert(key, &blank()?.chunk, BPF_NOEXIST as u64);
    chunk(key)
}

#[inline(always)]
pub fn remove_chunk(key: &ChunkKey) {
    let _ = CHUNKS.remove(key);
}

#[inline(always)]
pub fn counters(hook: u32) -> Option<&'static mut ProgramCounters> {
    shared!(COUNTERS.get_ptr_mut(hook))
}

#[inline(always)]
pub fn slot(thread: u32) -> Option<&'static mut InFlight> {
    shared!(INFLIGHT.get_ptr_mut(thread & (SLOTS - 1)))
}

#[inline(always)]
pub fn stall(thread: u32) -> Option<&'static mut Stall> {
    shared!(STALLS.get_ptr_mut(thread & (CELLS - 1)))
}

#[inline(always)]
pub fn activity(target: u32) -> Option<&'static mut Activity> {
    shared!(ACTIVITY.get_ptr_mut(target & (CELLS - 1)))
}

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    shared!(SCRATCH.get_ptr_mut(ids::thread() & (ROOMS - 1)))
}

#[inline(always)]
pub fn last_fault() -> Option<&'static mut Last> {
    shared!(LAST_FAULT.get_ptr_mut(0))
}

#[inline(always)]
pub fn host() -> Option<&'static mut Host> {
    shared!(HOST.get_ptr_mut(0))
}

#[inline(always)]
pub fn cpu_offset(cpu: u32) -> Option<&'static mut u64> {
    shared!(CPU_OFFSETS.get_ptr_mut(cpu))
}

/// Address of SCRATCH's first element as `cpu` sees it, and of the map itself.
#[inline(always)]
pub fn scratch_addresses(cpu: u32) -> (u64, u64) {
    let map = (&raw const SCRATCH) as *mut core::ffi::c_void;
    let key = 0u32;
    // SAFETY: SCRATCH is a per-CPU array; a cpu out of range gives null.
    let element =
        unsafe { aya_ebpf::helpers::generated::bpf_map_lookup_percpu_elem(map, (&raw const key).cast(), cpu) };
    (element as u64, map as u64)
}

/// User stack of the current task; negative: -errno.
#[inline(always)]
pub fn user_stack(ctx: *mut core::ffi::c_void) -> i64 {
    const USER: u64 = aya_ebpf::bindings::BPF_F_USER_STACK as u64;
    // SAFETY: `ctx` is the program's own context.
    unsafe { aya_ebpf::helpers::generated::bpf_get_stackid(ctx, (&raw const STACKS) as *mut _, USER) }
}
