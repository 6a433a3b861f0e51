//! What is known of a process at one instant, one number a signal.

/// Says whether a number may be compared as it is, or only its growth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level.
    Gauge,
    /// A total that only grows.
    Counter,
}

macro_rules! signals {
    ($($(#[$about:meta])* $signal:ident $name:literal $kind:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Signal {
            $($(#[$about])* $signal,)*
        }

        impl Signal {
            pub const ALL: &[Signal] = &[$(Signal::$signal,)*];
            pub const COUNT: usize = Self::ALL.len();

            /// As in JSON, with its unit.
            pub fn name(self) -> &'static str {
                match self { $(Signal::$signal => $name,)* }
            }

            /// All of them in their order: what was packed by others cannot be unpacked.
            pub fn names() -> String {
                [$($name,)*].join(" ")
            }

            pub fn kind(self) -> Kind {
                match self { $(Signal::$signal => Kind::$kind,)* }
            }
        }
    };
}

signals! {
    /// Of the process, as /proc/PID/status counts it.
    Rss "rss_bytes" Gauge,
    RssAnon "rss_anon_bytes" Gauge,
    RssFile "rss_file_bytes" Gauge,
    RssShmem "rss_shmem_bytes" Gauge,
    Swap "swap_bytes" Gauge,
    /// MADV_FREE pages that are still resident.
    Lazy "lazy_bytes" Gauge,
    Threads "threads" Gauge,
    /// Of the Go runtime: HeapInuse, HeapIdle, HeapReleased as in `runtime.MemStats`.
    HeapInuse "heap_inuse_bytes" Gauge,
    HeapIdle "heap_idle_bytes" Gauge,
    HeapReleased "heap_released_bytes" Gauge,
    /// HeapAlloc: objects, live or garbage.
    HeapAlloc "heap_alloc_bytes" Gauge,
    /// What the last collection found live (`gcController.heapMarked`).
    HeapLive "heap_live_bytes" Gauge,
    /// NextGC: where the collector aims to be done.
    HeapGoal "heap_goal_bytes" Gauge,
    StackInuse "stack_inuse_bytes" Gauge,
    /// All memory the runtime holds ready, which GOMEMLIMIT limits.
    MappedReady "go_mapped_ready_bytes" Gauge,
    Gomemlimit "gomemlimit_bytes" Gauge,
    GogcPercent "gogc_percent" Gauge,
    Goroutines "goroutines" Gauge,
    GcCycles "gc_cycles" Counter,
    /// When the last collection ended (LastGC), moved to CLOCK_MONOTONIC.
    LastGc "last_gc_ns" Gauge,
    /// TotalAlloc.
    TotalAlloc "total_alloc_bytes" Counter,
    /// CPU of the collector, in millionths of all that GOMAXPROCS gave since the start (GCCPUFraction).
    GcCpuPpm "gc_cpu_ppm" Gauge,
    /// From the page-return ledger, since it was watched.
    Returned "returned_bytes" Counter,
    Refaulted "refaulted_bytes" Counter,
    Faults "faults" Counter,
    ReclaimStall "reclaim_stall_ns" Counter,
    /// Of its memory cgroup with all below it, or of the one above that sets the lowest limit.
    Charge "cgroup_charge_bytes" Gauge,
    Limit "cgroup_limit_bytes" Gauge,
    CgroupAnon "cgroup_anon_bytes" Gauge,
    CgroupFile "cgroup_file_bytes" Gauge,
    CgroupShmem "cgroup_shmem_bytes" Gauge,
    CgroupInactiveFile "cgroup_inactive_file_bytes" Gauge,
    CgroupActiveFile "cgroup_active_file_bytes" Gauge,
    CgroupKernel "cgroup_kernel_bytes" Gauge,
    CgroupSlabReclaimable "cgroup_slab_reclaimable_bytes" Gauge,
    CgroupPageTables "cgroup_page_tables_bytes" Gauge,
    CgroupSock "cgroup_sock_bytes" Gauge,
    CgroupSwap "cgroup_swap_bytes" Gauge,
    /// Times the limit was hit.
    LimitHits "cgroup_limit_hits" Counter,
    OomKills "cgroup_oom_kills" Counter,
    /// Stalls of the cgroup where it has them (v2), else of the host.
    PressureSome "pressure_some_ns" Counter,
    PressureFull "pressure_full_ns" Counter,
    /// Processes of the cgroup, and the RSS of all but this one.
    CgroupProcesses "cgroup_processes" Gauge,
    OthersRss "cgroup_others_rss_bytes" Gauge,
    /// Of the host.
    HostAvailable "host_available_bytes" Gauge,
    HostTotal "host_total_bytes" Gauge,
}

/// One instant; what is not known is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    values: [Option<u64>; Signal::COUNT],
}

impl Point {
    pub fn at(t_ns: u64) -> Point {
        Point { t_ns, values: [None; Signal::COUNT] }
    }

    pub fn get(&self, signal: Signal) -> Option<u64> {
        self.values[signal as usize]
    }

    pub fn set(&mut self, signal: Signal, value: impl Into<Option<u64>>) {
        self.values[signal as usize] = value.into();
    }

    /// What of the charge of its cgroup the kernel may take without swap.
    pub fn reclaimable_bytes(&self) -> u64 {
        let parts = [Signal::CgroupInactiveFile, Signal::CgroupActiveFile, Signal::CgroupSlabReclaimable];
        parts.into_iter().filter_map(|signal| self.get(signal)).fold(0, u64::saturating_add)
    }

    #[must_use]
    pub fn with(mut self, signal: Signal, value: impl Into<Option<u64>>) -> Point {
        self.set(signal, value);
        self
    }

    pub fn values(&self) -> impl Iterator<Item = (Signal, u64)> {
        Signal::ALL.iter().zip(self.values).filter_map(|(signal, value)| Some((*signal, value?)))
    }
}
