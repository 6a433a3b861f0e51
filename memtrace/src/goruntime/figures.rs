//! The part of a sample that those who show much of it to others keep: a thirtieth of all of it.
use super::Sample;
use crate::event::GoHeap;

macro_rules! figures {
    ($($(#[$about:meta])* $field:ident: $from:expr,)*) => {
        /// Of one instant. Counts of objects, and what is allocated, are as `runtime/metrics` and so client_golang see them:
        /// without what the spans that Ps hold still hide.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct GoFigures {
            $($(#[$about])* pub $field: u64,)*
            /// `None`: no limit.
            pub gomemlimit_bytes: Option<u64>,
            /// `None`: off.
            pub gogc_percent: Option<u64>,
        }

        impl From<&Sample> for GoFigures {
            fn from(sample: &Sample) -> GoFigures {
                GoFigures {
                    $($field: u64::from(($from)(sample)),)*
                    gomemlimit_bytes: sample.gomemlimit_bytes,
                    gogc_percent: sample.gogc_percent.map(u64::from),
                }
            }
        }
    };
}

impl GoFigures {
    pub fn heap(&self) -> GoHeap {
        GoHeap {
            inuse_bytes: self.heap_inuse_bytes,
            idle_bytes: self.heap_idle_bytes,
            released_bytes: self.heap_released_bytes,
        }
    }
}

figures! {
    alloc_bytes: |s: &Sample| s.heap_alloc_uncorrected,
    total_alloc_bytes: |s: &Sample| {
        let held_by_ps = s.memstats.heap_alloc.saturating_sub(s.heap_alloc_uncorrected);
        s.memstats.total_alloc.saturating_sub(held_by_ps)
    },
    mallocs: |s: &Sample| s.mallocs_uncorrected,
    frees: |s: &Sample| s.frees_uncorrected,
    sys_bytes: |s: &Sample| s.memstats.sys,
    heap_sys_bytes: |s: &Sample| s.memstats.heap_sys,
    heap_idle_bytes: |s: &Sample| s.memstats.heap_idle,
    heap_inuse_bytes: |s: &Sample| s.memstats.heap_inuse,
    heap_released_bytes: |s: &Sample| s.memstats.heap_released,
    stack_inuse_bytes: |s: &Sample| s.memstats.stack_inuse,
    stack_sys_bytes: |s: &Sample| s.memstats.stack_sys,
    mspan_inuse_bytes: |s: &Sample| s.memstats.mspan_inuse,
    mspan_sys_bytes: |s: &Sample| s.memstats.mspan_sys,
    mcache_inuse_bytes: |s: &Sample| s.memstats.mcache_inuse,
    mcache_sys_bytes: |s: &Sample| s.memstats.mcache_sys,
    buck_hash_sys_bytes: |s: &Sample| s.memstats.buck_hash_sys,
    gc_sys_bytes: |s: &Sample| s.memstats.gc_sys,
    other_sys_bytes: |s: &Sample| s.memstats.other_sys,
    next_gc_bytes: |s: &Sample| s.memstats.next_gc,
    /// Since 1970; 0: there was none.
    last_gc_ns: |s: &Sample| s.memstats.last_gc,
    pause_total_ns: |s: &Sample| s.memstats.pause_total_ns,
    num_gc: |s: &Sample| s.memstats.num_gc,
    goroutines: |s: &Sample| s.num_goroutine,
    threads: |s: &Sample| s.threads,
    /// GOMAXPROCS.
    procs: |s: &Sample| s.procs,
}
