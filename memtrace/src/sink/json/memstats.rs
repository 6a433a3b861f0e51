//! `runtime.MemStats` and what is beside it, in the names of the JSON contract.
use crate::goruntime::Sample;
use serde::Serialize;

/// The fields of Go's `runtime.MemStats` in snake_case: bytes, ns, and ns since 1970 for `last_gc` and `pause_end`. Behind
/// them what MemStats does not say.
#[derive(Serialize)]
pub(super) struct MemStats<'a> {
    alloc: u64,
    total_alloc: u64,
    sys: u64,
    lookups: u64,
    mallocs: u64,
    frees: u64,
    heap_alloc: u64,
    heap_sys: u64,
    heap_idle: u64,
    heap_inuse: u64,
    heap_released: u64,
    heap_objects: u64,
    stack_inuse: u64,
    stack_sys: u64,
    mspan_inuse: u64,
    mspan_sys: u64,
    mcache_inuse: u64,
    mcache_sys: u64,
    buck_hash_sys: u64,
    gc_sys: u64,
    other_sys: u64,
    next_gc: u64,
    last_gc: u64,
    pause_total_ns: u64,
    pause_ns: Option<&'a [u64]>,
    pause_end: Option<&'a [u64]>,
    num_gc: u32,
    num_forced_gc: u32,
    gc_cpu_fraction: f64,
    enable_gc: bool,
    debug_gc: bool,
    by_size: Vec<BySize>,
    /// As runtime/metrics and client_golang see HeapAlloc, Mallocs and Frees.
    heap_alloc_uncorrected: u64,
    mallocs_uncorrected: u64,
    frees_uncorrected: u64,
    mapped_ready: u64,
    heap_marked: u64,
    heap_live: u64,
    gc_phase: Option<&'static str>,
    /// Null: off.
    gogc_percent: Option<u32>,
    /// Null: no limit.
    gomemlimit_bytes: Option<u64>,
    scavenger: Scavenger,
    num_goroutine: u64,
    threads: u64,
    gomaxprocs: u64,
    moving_bytes: u64,
    skew_bytes: u64,
    retries: u32,
}

#[derive(Serialize)]
struct BySize {
    size: u32,
    mallocs: u64,
    frees: u64,
}

#[derive(Serialize)]
struct Scavenger {
    gc_percent_goal_bytes: Option<u64>,
    memory_limit_goal_bytes: Option<u64>,
    assist_time_ns: Option<u64>,
    background_time_ns: Option<u64>,
    released_background_bytes: Option<u64>,
    released_eager_bytes: Option<u64>,
}

impl<'a> From<&'a Sample> for MemStats<'a> {
    fn from(sample: &'a Sample) -> Self {
        let m = &sample.memstats;
        let s = &sample.scavenger;
        Self {
            alloc: m.alloc,
            total_alloc: m.total_alloc,
            sys: m.sys,
            lookups: m.lookups,
            mallocs: m.mallocs,
            frees: m.frees,
            heap_alloc: m.heap_alloc,
            heap_sys: m.heap_sys,
            heap_idle: m.heap_idle,
            heap_inuse: m.heap_inuse,
            heap_released: m.heap_released,
            heap_objects: m.heap_objects,
            stack_inuse: m.stack_inuse,
            stack_sys: m.stack_sys,
            mspan_inuse: m.mspan_inuse,
            mspan_sys: m.mspan_sys,
            mcache_inuse: m.mcache_inuse,
            mcache_sys: m.mcache_sys,
            buck_hash_sys: m.buck_hash_sys,
            gc_sys: m.gc_sys,
            other_sys: m.other_sys,
            next_gc: m.next_gc,
            last_gc: m.last_gc,
            pause_total_ns: m.pause_total_ns,
            pause_ns: m.pauses.as_ref().map(|pauses| pauses.ns.as_slice()),
            pause_end: m.pauses.as_ref().map(|pauses| pauses.end.as_slice()),
            num_gc: m.num_gc,
            num_forced_gc: m.num_forced_gc,
            gc_cpu_fraction: m.gc_cpu_fraction,
            enable_gc: m.enable_gc,
            debug_gc: m.debug_gc,
            by_size: m.by_size.iter().map(|b| BySize { size: b.size, mallocs: b.mallocs, frees: b.frees }).collect(),
            heap_alloc_uncorrected: sample.heap_alloc_uncorrected,
            mallocs_uncorrected: sample.mallocs_uncorrected,
            frees_uncorrected: sample.frees_uncorrected,
            mapped_ready: sample.mapped_ready,
            heap_marked: sample.heap_marked,
            heap_live: sample.heap_live,
            gc_phase: sample.gc_phase.map(|phase| phase.as_str()),
            gogc_percent: sample.gogc_percent,
            gomemlimit_bytes: sample.gomemlimit_bytes,
            scavenger: Scavenger {
                gc_percent_goal_bytes: s.gc_percent_goal_bytes,
                memory_limit_goal_bytes: s.memory_limit_goal_bytes,
                assist_time_ns: s.assist_time_ns,
                background_time_ns: s.background_time_ns,
                released_background_bytes: s.released_background_bytes,
                released_eager_bytes: s.released_eager_bytes,
            },
            num_goroutine: sample.num_goroutine,
            threads: sample.threads,
            gomaxprocs: sample.procs,
            moving_bytes: sample.moving_bytes,
            skew_bytes: sample.skew_bytes,
            retries: sample.retries,
        }
    }
}
