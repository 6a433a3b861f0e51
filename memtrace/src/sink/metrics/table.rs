//! Every metric there is: its name, its kind, its labels, and what it says. The page `docs/metrics.md` is this table.

/// As in the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Kind {
    Counter,
    Gauge,
    /// Without a sum.
    Histogram,
}

impl Kind {
    #[cfg(test)]
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What one series of it is about, in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink) enum Of {
    Process,
    /// Of a process, too; but sums over processes say nothing.
    Alone,
    Probe,
    Workload,
    Memtrace,
}

macro_rules! metrics {
    ($($metric:ident $name:literal $kind:ident $of:ident $help:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(in crate::sink) enum Metric {
            $($metric,)*
        }

        impl Metric {
            pub(in crate::sink) const ALL: &[Metric] = &[$(Metric::$metric,)*];

            pub(in crate::sink) fn name(self) -> &'static str {
                match self { $(Metric::$metric => $name,)* }
            }

            pub(in crate::sink) fn kind(self) -> Kind {
                match self { $(Metric::$metric => Kind::$kind,)* }
            }

            pub(in crate::sink) fn of(self) -> Of {
                match self { $(Metric::$metric => Of::$of,)* }
            }

            pub(in crate::sink) fn help(self) -> &'static str {
                match self { $(Metric::$metric => $help,)* }
            }
        }
    };
}

impl Metric {
    /// Processes without series of their own have one of it together.
    pub(super) fn is_summed(self) -> bool {
        self.of() == Of::Process
    }
}

metrics! {
    Resident "memtrace_process_resident_memory_bytes" Gauge Process "RSS.",
    Returned "memtrace_returned_bytes_total" Counter Process
        "Memory given back by madvise and munmap that the kernel really took, since memtrace has watched the process.",
    Refaulted "memtrace_refaulted_bytes_total" Counter Process "Returned memory that was touched and so came back.",
    TimeToRefault "memtrace_time_to_refault_seconds" Histogram Process
        "Pages by the time from their return to the fault that brought them back; without a sum.",
    Kept "memtrace_kept_bytes" Gauge Process "Returned memory that did not come back: returned less refaulted.",
    Lazy "memtrace_lazy_bytes" Gauge Process "Memory given back by MADV_FREE that is still resident.",
    Faults "memtrace_page_faults_total" Counter Process "Page faults.",
    ReclaimStall "memtrace_reclaim_stall_seconds_total" Counter Process
        "Time that its threads spent reclaiming memory themselves before they got any; absent where no probe sees it.",
    HeapInuse "memtrace_go_heap_inuse_bytes" Gauge Process "HeapInuse of runtime.MemStats.",
    HeapIdle "memtrace_go_heap_idle_bytes" Gauge Process "HeapIdle of runtime.MemStats.",
    HeapReleased "memtrace_go_heap_released_bytes" Gauge Process "HeapReleased of runtime.MemStats.",
    HeapAlloc "memtrace_go_heap_alloc_bytes" Gauge Process "HeapAlloc of runtime.MemStats: objects, live or not.",
    Allocated "memtrace_go_allocated_bytes_total" Counter Process
        "TotalAlloc of runtime.MemStats: allocated since the process was started.",
    Allocations "memtrace_go_allocations_total" Counter Process
        "Objects allocated since the process was started, as runtime/metrics counts them.",
    HeapLive "memtrace_go_heap_live_bytes" Gauge Process "What the last garbage collection found live.",
    HeapGoal "memtrace_go_heap_goal_bytes" Gauge Process
        "NextGC of runtime.MemStats: the heap at which the next garbage collection aims to be done.",
    StackInuse "memtrace_go_stack_inuse_bytes" Gauge Process "StackInuse of runtime.MemStats.",
    MappedReady "memtrace_go_mapped_ready_bytes" Gauge Process
        "All memory that the Go runtime holds ready: what GOMEMLIMIT limits.",
    Goroutines "memtrace_go_goroutines" Gauge Process "Goroutines.",
    GcCycles "memtrace_go_gc_cycles_total" Counter Process "Garbage collections since the process was started.",
    RetainedIdle "memtrace_go_retained_idle_bytes" Gauge Process
        "Idle heap that Go has not given back: HeapIdle less HeapReleased.",
    Gap "memtrace_gap_bytes" Gauge Process "RSS less HeapInuse; negative when part of the heap is not resident.",
    GoLimit "memtrace_go_memory_limit_bytes" Gauge Alone "GOMEMLIMIT; absent where there is none.",
    Gogc "memtrace_go_gogc_ratio" Gauge Alone "GOGC, of which 1 is 100; absent where it is off.",
    MaxProcs "memtrace_go_maxprocs" Gauge Alone "GOMAXPROCS.",
    Waterfall "memtrace_waterfall_bytes" Gauge Alone
        "RSS by what it is (label bucket), at the last close look; a bucket without series is empty.",
    ReleasedResident "memtrace_go_released_resident_bytes" Gauge Alone
        "Released by Go and resident all the same, at the last close look: the buckets released_*.",
    WaterfallAge "memtrace_waterfall_age_seconds" Gauge Alone "How long ago that look was.",
    Charge "memtrace_cgroup_charge_bytes" Gauge Alone
        "What the memory cgroup of the process is charged for, or the one above it that sets the lowest limit.",
    Limit "memtrace_cgroup_limit_bytes" Gauge Alone "The limit of that cgroup; absent where there is none.",
    Headroom "memtrace_cgroup_headroom_bytes" Gauge Alone
        "What may be charged to that cgroup until nothing is left to reclaim without swap.",
    CgroupAnon "memtrace_cgroup_anon_bytes" Gauge Alone "Of its charge: anonymous memory.",
    CgroupFile "memtrace_cgroup_file_bytes" Gauge Alone "Of its charge: page cache, shared memory included.",
    CgroupShmem "memtrace_cgroup_shmem_bytes" Gauge Alone "Of its page cache: shared memory and tmpfs.",
    CgroupKernel "memtrace_cgroup_kernel_bytes" Gauge Alone "Of its charge: the kernel's own for it.",
    CgroupSlab "memtrace_cgroup_slab_reclaimable_bytes" Gauge Alone "Of the kernel's: slabs that can be reclaimed.",
    CgroupPageTables "memtrace_cgroup_page_tables_bytes" Gauge Alone "Of the kernel's: page tables.",
    CgroupSock "memtrace_cgroup_sock_bytes" Gauge Alone "Of its charge: buffers of sockets.",
    CgroupSwap "memtrace_cgroup_swap_bytes" Gauge Alone "What it has in swap.",
    LimitHits "memtrace_cgroup_limit_hits_total" Counter Alone "Times the limit was met.",
    CgroupOomKills "memtrace_cgroup_oom_kills_total" Counter Alone "Processes that the OOM killer took there.",
    LeftOut "memtrace_processes_left_out" Gauge Memtrace
        "Watched processes without series of their own: they are in those with pid=\"other\".",
    WithoutTimeline "memtrace_processes_without_timeline" Gauge Memtrace
        "Processes beyond black_box.max_processes: without any figures.",
    Met "memtrace_processes_met_total" Counter Memtrace "Processes that were watched, those that are among them.",
    Gone "memtrace_processes_gone_total" Counter Memtrace
        "Those that are watched no more (label reason): ended, unheard (gone, and no record said so), not_meant.",
    Unidentified "memtrace_processes_unidentified_total" Counter Memtrace
        "Processes that ended before it could be told whether they were meant: left out.",
    Hits "memtrace_probe_hits_total" Counter Probe "Times the probe ran: filtered, summed, submitted and lost.",
    Filtered "memtrace_probe_filtered_total" Counter Probe "Hits that were of no target, or not asked for.",
    Summed "memtrace_probe_summed_total" Counter Probe "Hits that were added up in the kernel, and told in sums.",
    Submitted "memtrace_probe_submitted_total" Counter Probe "Hits that became a record.",
    Lost "memtrace_probe_lost_total" Counter Probe
        "Hits lost (label reason): ring_full, the ring had no room; read_failed, something could not be read.",
    Shed "memtrace_shed_records_total" Counter Memtrace "Records dropped because a queue of memtrace was full.",
    DecodeErrors "memtrace_decode_errors_total" Counter Memtrace "Records that could not be decoded.",
    Samples "memtrace_samples_total" Counter Memtrace "Points of all processes that were taken.",
    SamplesThinned "memtrace_samples_thinned_total" Counter Memtrace
        "Points that were due and not taken, because memtrace came late or they would take more than limits.cpu_percent.",
    CloseLooks "memtrace_close_looks_total" Counter Memtrace "Close looks at a process, which waterfalls come from.",
    OtlpSent "memtrace_otlp_sent_total" Counter Memtrace
        "Data points and log records (label signal) that the OTLP endpoint has taken; absent without one.",
    OtlpDropped "memtrace_otlp_dropped_total" Counter Memtrace
        "Those it has not (label reason): queue_full, refused for good, rejected out of a batch that was taken.",
    OtlpFailures "memtrace_otlp_failed_attempts_total" Counter Memtrace
        "Attempts to send that failed and were to be repeated.",
    OtlpQueue "memtrace_otlp_queue_bytes" Gauge Memtrace "What waits to be sent.",
    SelfResident "memtrace_self_resident_memory_bytes" Gauge Memtrace "RSS of memtrace itself.",
    SelfMaxResident "memtrace_self_max_resident_memory_bytes" Gauge Memtrace "limits.max_rss_bytes.",
    TimelineBytes "memtrace_timeline_max_bytes" Gauge Memtrace
        "What the history of one process may take now: less than black_box.max_bytes_per_process where memtrace took more than limits.max_rss_bytes.",
    Shortened "memtrace_timelines_shortened_total" Counter Memtrace
        "How often all histories were cut to half, because memtrace took more than limits.max_rss_bytes.",
    SelfCpu "memtrace_self_cpu_seconds_total" Counter Memtrace "CPU time of memtrace itself.",
    SelfFds "memtrace_self_open_fds" Gauge Memtrace "File descriptors that memtrace has open.",
    SelfStart "memtrace_self_start_time_seconds" Gauge Memtrace
        "When memtrace was started, since 1970: counters of the page-return ledger and of memtrace itself begin at 0 then.",
    Reloads "memtrace_config_reloads_total" Counter Memtrace
        "How often the configuration was read again (label result): success, or failure, and what was read before counts.",
    ReloadedWell "memtrace_config_last_reload_successful" Gauge Memtrace
        "0: the file that was read last is wrong, and what was read before counts.",
    Build "memtrace_build_info" Gauge Memtrace "1; the label version says which memtrace it is.",
    OomKills "memtrace_oom_kills_total" Counter Workload
        "Deaths by the OOM killer, as `memtrace oom counts` has them: kept over restarts.",
    Deaths "memtrace_deaths_total" Counter Workload "Deaths with a dossier, whatever made it: kept over restarts.",
    RecordedRows "memtrace_recording_rows_total" Counter Memtrace "Rows of the recording in files that are whole.",
    RecordedDropped "memtrace_recording_dropped_rows_total" Counter Memtrace
        "Rows of the recording that were dropped: a full queue, or a disk that is full or fails.",
    RecordedBytes "memtrace_recording_bytes" Gauge Memtrace "Size of all files of the recording.",
    UploadedFiles "memtrace_recording_upload_files_total" Counter Memtrace
        "Files of the recording that the object store has taken; absent without one.",
    UploadedBytes "memtrace_recording_upload_bytes_total" Counter Memtrace "Their size.",
    UploadFailures "memtrace_recording_upload_failures_total" Counter Memtrace
        "Attempts to upload a file that failed and were to be repeated.",
    UploadWaiting "memtrace_recording_upload_waiting_files" Gauge Memtrace "Files that are still to be uploaded.",
    UploadDropped "memtrace_recording_upload_dropped_files_total" Counter Memtrace
        "Files that were removed before they were uploaded (label reason): for recording.max_bytes, or recording.max_age.",
    UploadSuccess "memtrace_recording_upload_last_success_timestamp_seconds" Gauge Memtrace
        "When the store last took a file, since 1970; absent until then.",
    WorkloadsLeftOut "memtrace_workloads_left_out" Gauge Memtrace
        "Workloads with deaths beyond max_series_processes: together in workload=\"(others)\".",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::metrics::compat;

    fn rows(of: Of) -> String {
        let row = |metric: &Metric| format!("| `{}` | {} | {} |\n", metric.name(), metric.kind().word(), metric.help());
        Metric::ALL.iter().filter(|metric| metric.of() == of).map(row).collect()
    }

    #[test]
    fn the_page_is_the_table() {
        let page = include_str!("../../../../docs/metrics.md");
        let tables: Vec<&str> = page.split("\n\n").filter(|part| part.starts_with("| metric ")).collect();
        let expected = [Of::Process, Of::Alone, Of::Probe, Of::Workload, Of::Memtrace].map(rows);
        let expected: Vec<String> = expected.into_iter().chain([compat::rows()]).collect();
        for (at, rows) in expected.iter().enumerate() {
            let table = tables.get(at).and_then(|table| table.split_once("|---|---|---|\n"));
            assert_eq!(table.map(|(_, rows)| rows.trim_end()), Some(rows.trim_end()), "table {at} must be:\n{rows}");
        }
        assert_eq!(tables.len(), expected.len());
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        for metric in Metric::ALL {
            let name = metric.name();
            assert!(name.starts_with("memtrace_") && name.chars().all(|c| matches!(c, 'a'..='z' | '_')), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind() == Kind::Counter, "{name}");
            assert!(metric.help().len() > 3 && !metric.help().contains('|'), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
