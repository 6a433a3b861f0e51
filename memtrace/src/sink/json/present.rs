//! `memtrace.processes/1`: what `memtrace agent` serves of all processes. One of them is an object of `memtrace.stat/1`.
use crate::dossier::{Living, Present};
use crate::timeline::Signal;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct ProcessesJson<'a> {
    schema: &'static str,
    t_ns: u64,
    processes: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    pid: Option<u32>,
    start_time_ns: Option<u64>,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    go_version: Option<&'a str>,
    cgroup_path: Option<Cow<'a, str>>,
    workload: Option<&'a str>,
    rss_bytes: Option<u64>,
    heap_inuse_bytes: Option<u64>,
    heap_idle_bytes: Option<u64>,
    heap_released_bytes: Option<u64>,
    goroutines: Option<u64>,
    cgroup_charge_bytes: Option<u64>,
    cgroup_limit_bytes: Option<u64>,
    returned_bytes: Option<u64>,
    refaulted_bytes: Option<u64>,
    kept_bytes: Option<u64>,
    lazy_bytes: Option<u64>,
    faults: Option<u64>,
}

impl<'a> ProcessesJson<'a> {
    pub(super) fn of(present: &'a Present) -> Self {
        let processes = present.processes.iter().map(RowJson::of).collect();
        Self { schema: super::PROCESSES_SCHEMA, t_ns: present.t_ns, processes }
    }
}

impl<'a> RowJson<'a> {
    fn of(living: &'a Living) -> Self {
        let process = &living.process;
        let of = |signal| living.point.as_ref().and_then(|point| point.get(signal));
        Self {
            pid: process.pid,
            start_time_ns: process.start_time_ns,
            comm: process.comm.as_deref(),
            exe: process.exe.as_deref(),
            go_version: process.go.as_ref().map(|go| go.version.as_str()),
            cgroup_path: process.cgroup.as_ref().map(|path| path.to_string_lossy()),
            workload: living.workload.as_ref().map(|workload| workload.name.as_str()),
            rss_bytes: of(Signal::Rss),
            heap_inuse_bytes: of(Signal::HeapInuse),
            heap_idle_bytes: of(Signal::HeapIdle),
            heap_released_bytes: of(Signal::HeapReleased),
            goroutines: of(Signal::Goroutines),
            cgroup_charge_bytes: of(Signal::Charge),
            cgroup_limit_bytes: of(Signal::Limit),
            returned_bytes: process.returned_bytes,
            refaulted_bytes: process.refaulted_bytes,
            kept_bytes: process.kept_bytes,
            lazy_bytes: process.lazy_bytes,
            faults: process.faults,
        }
    }
}
