//! Fills the kernel side's parameters from what this kernel says of itself: BTF for structs, tracefs for event records.
//! Decided by presence, never by version: distributions backport.
use super::btf::Btf;
use super::tracefs::Formats;
use bytemuck::Zeroable;
use memtrace_common::host::page_tables;
use memtrace_common::params::{
    ABSENT, CgroupOffsets, MmOffsets, Params, PidOffsets, RegisterOffsets, Switches, TaskOffsets, TraceOffsets,
    rss_mode,
};

/// Something this kernel does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// `struct.field`, or `event.field`.
    pub what: &'static str,
    /// Programs that cannot work without it; the others only lose something.
    pub needed_by: &'static [&'static str],
    /// What is lost, for the reader.
    pub loses: &'static str,
}

/// What the parameters need from elsewhere than BTF and tracefs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Highest possible CPU + 1.
    pub cpus: u32,
    pub page_bytes: u64,
    /// One of [`page_tables`].
    pub page_tables: u32,
    /// Inode number of a pid namespace of memtrace's own; 0: the initial one.
    pub pid_namespace: u32,
}

/// Which page tables the probes walk on a machine, as `uname -m` calls it.
pub fn page_tables_of(machine: &str, page_bytes: u64) -> u32 {
    match (machine, page_bytes) {
        ("x86_64", 4096) => page_tables::X86_64,
        ("aarch64", 4096) => page_tables::ARM64,
        _ => page_tables::NONE,
    }
}

type Slot = fn(&mut Params) -> &mut u32;

struct BtfRow {
    slot: Slot,
    what: &'static str,
    needed_by: &'static [&'static str],
    loses: &'static str,
}

const NOBODY: &[&str] = &[];
const TASK: &[&str] = &["sig_generate", "task_fork"];
/// How a task is called in a pid namespace.
pub const PIDS: &str = "pid.numbers";
const IDENTITY: &str = "who a process is";
const CGROUP: &str = "cgroup ids of processes (-c, oom victims' cgroups)";
const RSS: &str = "RSS read by the probe";
const EXIT: &str = "exit codes and the end of a process";

const fn btf_row(slot: Slot, what: &'static str, needed_by: &'static [&'static str], loses: &'static str) -> BtfRow {
    BtfRow { slot, what, needed_by, loses }
}

/// One `struct.field` each; alternatives are parted by `|`.
const FIELDS: [BtfRow; 24] = [
    btf_row(|p| &mut p.task.mm, "task_struct.mm", NOBODY, RSS),
    btf_row(|p| &mut p.task.tgid, "task_struct.tgid", TASK, IDENTITY),
    btf_row(|p| &mut p.task.pid, "task_struct.pid", TASK, IDENTITY),
    btf_row(|p| &mut p.task.comm, "task_struct.comm", NOBODY, "names of processes"),
    btf_row(|p| &mut p.task.cgroups, "task_struct.cgroups", NOBODY, CGROUP),
    btf_row(|p| &mut p.task.signal, "task_struct.signal", NOBODY, EXIT),
    btf_row(|p| &mut p.task.exit_code, "task_struct.exit_code", NOBODY, EXIT),
    btf_row(|p| &mut p.task.real_parent, "task_struct.real_parent", NOBODY, "parents of processes"),
    btf_row(|p| &mut p.task.start_boottime, "task_struct.start_boottime|task_struct.real_start_time", TASK, IDENTITY),
    btf_row(|p| &mut p.task.signal_live, "signal_struct.live", NOBODY, EXIT),
    btf_row(|p| &mut p.task.signal_nr_threads, "signal_struct.nr_threads", NOBODY, "approximate marks by thread count"),
    btf_row(
        |p| &mut p.task.signal_group_exit_code,
        "signal_struct.group_exit_code",
        &["sig_deliver", "sig_walk"],
        "the last state of a killed process",
    ),
    btf_row(|p| &mut p.mm.pgd, "mm_struct.pgd", NOBODY, RSS),
    btf_row(|p| &mut p.mm.users, "mm_struct.mm_users", NOBODY, "exactness of single-threaded processes"),
    btf_row(|p| &mut p.mm.brk, "mm_struct.brk", NOBODY, "how far brk moved"),
    btf_row(|p| &mut p.mm.bpf_array_pptrs, "bpf_array.pptrs", NOBODY, "exact RSS read by the probe"),
    btf_row(
        |p| &mut p.mm.page_mapping,
        "page.mapping|folio.mapping",
        NOBODY,
        "anonymous against file pages in --exact",
    ),
    btf_row(|p| &mut p.cgroup.css_set_subsys, "css_set.subsys", NOBODY, CGROUP),
    btf_row(|p| &mut p.cgroup.css_set_dfl, "css_set.dfl_cgrp", NOBODY, CGROUP),
    btf_row(|p| &mut p.cgroup.css_cgroup, "cgroup_subsys_state.cgroup", NOBODY, CGROUP),
    btf_row(|p| &mut p.cgroup.cgroup_kn, "cgroup.kn", NOBODY, CGROUP),
    btf_row(|p| &mut p.cgroup.kn_id, "kernfs_node.id", NOBODY, CGROUP),
    btf_row(|p| &mut p.trace.sys_enter_args, "syscall_tp_t.args", NOBODY, ""),
    btf_row(|p| &mut p.trace.sys_exit_ret, "syscall_tp_t.ret", NOBODY, ""),
];

struct EventRow {
    slot: Slot,
    category: &'static str,
    event: &'static str,
    field: &'static str,
    /// As the probe reads it, in bytes.
    size: u32,
    what: &'static str,
    needed_by: &'static [&'static str],
    loses: &'static str,
}

const VICTIM: &str = "the victim's totals in an oom record";
const ORDER: &str = "the order of a reclaim";
const RECLAIMED: &str = "the pages a reclaim got back";

macro_rules! event_row {
    ($slot:ident, $category:literal, $event:literal, $field:literal, $size:literal, $needed_by:expr, $loses:expr) => {
        EventRow {
            slot: |p| &mut p.trace.$slot,
            category: $category,
            event: $event,
            field: $field,
            size: $size,
            what: concat!($event, ".", $field),
            needed_by: $needed_by,
            loses: $loses,
        }
    };
}

const EVENTS: [EventRow; 11] = [
    event_row!(victim_pid, "oom", "mark_victim", "pid", 4, &["mark_victim"], VICTIM),
    event_row!(victim_total_vm, "oom", "mark_victim", "total_vm", 8, NOBODY, VICTIM),
    event_row!(victim_anon_rss, "oom", "mark_victim", "anon_rss", 8, NOBODY, VICTIM),
    event_row!(victim_file_rss, "oom", "mark_victim", "file_rss", 8, NOBODY, VICTIM),
    event_row!(victim_shmem_rss, "oom", "mark_victim", "shmem_rss", 8, NOBODY, VICTIM),
    event_row!(victim_page_tables, "oom", "mark_victim", "pgtables", 8, NOBODY, VICTIM),
    event_row!(victim_oom_score_adj, "oom", "mark_victim", "oom_score_adj", 2, NOBODY, VICTIM),
    event_row!(memcg_begin_order, "vmscan", "mm_vmscan_memcg_reclaim_begin", "order", 4, NOBODY, ORDER),
    event_row!(memcg_end_reclaimed, "vmscan", "mm_vmscan_memcg_reclaim_end", "nr_reclaimed", 8, NOBODY, RECLAIMED),
    event_row!(direct_begin_order, "vmscan", "mm_vmscan_direct_reclaim_begin", "order", 4, NOBODY, ORDER),
    event_row!(direct_end_reclaimed, "vmscan", "mm_vmscan_direct_reclaim_end", "nr_reclaimed", 8, NOBODY, RECLAIMED),
];

const ENTRIES: &[&str] = &["madvise_in", "pmadvise_in", "mmap_in", "munmap_in", "mremap_in", "brk_in"];
/// Of arm64.
const LINK_REGISTER: u32 = 30;
const EXITS: &[&str] = &["madvise_out", "pmadvise_out", "mmap_out", "munmap_out", "mremap_out", "brk_out"];

/// Parameters of a kernel that says nothing of itself: every offset [`ABSENT`].
pub fn absent(machine: Machine, switches: Switches) -> Params {
    const A: u32 = ABSENT;
    let mut params = Params { switches, ..Params::zeroed() };
    params.task = TaskOffsets {
        mm: A,
        tgid: A,
        pid: A,
        comm: A,
        cgroups: A,
        signal: A,
        exit_code: A,
        real_parent: A,
        start_boottime: A,
        rss_cache: A,
        signal_live: A,
        signal_nr_threads: A,
        signal_group_exit_code: A,
    };
    params.mm = MmOffsets {
        rss_stat: A,
        pgd: A,
        rss_mode: rss_mode::NONE,
        percpu_counter_size: A,
        percpu_counter_count: A,
        percpu_counter_counters: A,
        member_file: A,
        member_anon: A,
        member_shmem: A,
        cpus: machine.cpus,
        bpf_array_pptrs: A,
        page_mapping: A,
        page_shift: machine.page_bytes.max(1).ilog2(),
        users: A,
        brk: A,
        page_tables: machine.page_tables,
    };
    params.cgroup =
        CgroupOffsets { css_set_subsys: A, css_set_dfl: A, css_cgroup: A, cgroup_kn: A, kn_id: A, memory_subsys: A };
    params.registers = RegisterOffsets {
        argument0: A,
        argument1: A,
        argument2: A,
        argument3: A,
        go_argument0: A,
        go_argument1: A,
        stack_pointer: A,
        link: A,
    };
    let empty = TraceOffsets { sys_enter_args: A, sys_exit_ret: A, ..params.trace };
    params.trace = empty;
    for row in &EVENTS {
        *(row.slot)(&mut params) = ABSENT;
    }
    params
}

/// `struct mm_struct.rss_stat`, by the shape it has here.
fn fill_rss(btf: &Btf, params: &mut Params) -> Result<(), Missing> {
    let mm = &mut params.mm;
    let member = |name| btf.enumerator(name).and_then(|v| u32::try_from(v).ok()).unwrap_or(ABSENT);
    mm.member_file = member("MM_FILEPAGES");
    mm.member_anon = member("MM_ANONPAGES");
    mm.member_shmem = member("MM_SHMEMPAGES");
    if let Some(count) = btf.field("mm_struct", "rss_stat.count").filter(|_| btf.has_type("mm_rss_stat")) {
        mm.rss_stat = count;
        mm.rss_mode = rss_mode::ATOMIC;
        params.task.rss_cache = btf.field("task_struct", "rss_stat.count").unwrap_or(ABSENT);
    } else if btf.field_type("mm_struct", "rss_stat").as_deref() == Some("percpu_counter") {
        let field = |name| btf.field("percpu_counter", name);
        let parts = (btf.field("mm_struct", "rss_stat"), btf.size("percpu_counter"), field("count"), field("counters"));
        if let (Some(at), Some(size), Some(count), Some(counters)) = parts {
            mm.rss_stat = at;
            mm.rss_mode = rss_mode::PERCPU;
            (mm.percpu_counter_size, mm.percpu_counter_count, mm.percpu_counter_counters) = (size, count, counters);
        }
    }
    if mm.rss_mode == rss_mode::NONE || mm.member_anon == ABSENT {
        mm.rss_mode = rss_mode::NONE;
        return Err(Missing { what: "mm_struct.rss_stat", needed_by: NOBODY, loses: RSS });
    }
    Ok(())
}

/// Where arguments are in `struct pt_regs`: by name on x86-64, in an array on arm64. Without those of system calls
/// functions cannot be hooked, and tracepoints are.
fn registers(btf: &Btf) -> RegisterOffsets {
    let array = btf.field("pt_regs", "regs");
    let offset = |name: &str, number: u32| match array {
        Some(at) => at.checked_add(8 * number),
        None => btf.field("pt_regs", name),
    };
    let or_absent = |found: Option<u32>| found.unwrap_or(ABSENT);
    RegisterOffsets {
        argument0: or_absent(offset("di", 0)),
        argument1: or_absent(offset("si", 1)),
        argument2: or_absent(offset("dx", 2)),
        argument3: or_absent(offset("r10", 3)),
        // Go's own calling convention (Go src/cmd/compile/abi-internal.md).
        go_argument0: or_absent(offset("ax", 0)),
        go_argument1: or_absent(offset("bx", 1)),
        stack_pointer: or_absent(btf.field("pt_regs", "sp").filter(|_| array.is_none())),
        link: or_absent(array.and_then(|at| at.checked_add(8 * LINK_REGISTER))),
    }
}

/// How tasks are called in a pid namespace of memtrace's own; `None` where this kernel does not describe it.
fn pids(btf: &Btf, namespace: u32) -> Option<PidOffsets> {
    Some(PidOffsets {
        namespace,
        group_leader: btf.field("task_struct", "group_leader")?,
        thread_pid: btf.field("task_struct", "thread_pid")?,
        level: btf.field("pid", "level")?,
        numbers: btf.field("pid", "numbers")?,
        upid_size: btf.size("upid")?,
        upid_nr: btf.field("upid", "nr")?,
        upid_ns: btf.field("upid", "ns")?,
        ns_inum: btf.field("pid_namespace", "ns.inum")?,
    })
}

/// Offset of the first argument or of the result of a syscall: the format file's word, where BTF is silent.
fn fill_syscalls(formats: &impl Formats, params: &mut Params) -> Vec<Missing> {
    let trace = &mut params.trace;
    let rows: [(&mut u32, &str, &str, Missing); 2] = [
        (
            &mut trace.sys_enter_args,
            "sys_enter_madvise",
            "start",
            Missing { what: "syscall_tp_t.args", needed_by: ENTRIES, loses: "arguments of calls" },
        ),
        (
            &mut trace.sys_exit_ret,
            "sys_exit_madvise",
            "ret",
            Missing { what: "syscall_tp_t.ret", needed_by: EXITS, loses: "results of calls" },
        ),
    ];
    let mut missing = Vec::new();
    for (slot, event, field, lack) in rows {
        if *slot == ABSENT {
            match formats.format("syscalls", event).and_then(|f| f.offset(field, 8)) {
                Some(at) => *slot = at,
                None => missing.push(lack),
            }
        }
    }
    missing
}

/// The parameters for this kernel, and what it lacks.
pub fn params(btf: &Btf, formats: &impl Formats, machine: Machine, switches: Switches) -> (Params, Vec<Missing>) {
    let mut params = absent(machine, switches);
    let mut missing = Vec::new();
    for row in &FIELDS {
        let found = row.what.split('|').filter_map(|one| one.split_once('.')).find_map(|(s, f)| btf.field(s, f));
        match found {
            Some(at) => *(row.slot)(&mut params) = at,
            // Without a word on the loss: the format file is asked next.
            None if row.loses.is_empty() => {}
            None => missing.push(Missing { what: row.what, needed_by: row.needed_by, loses: row.loses }),
        }
    }
    missing.extend(fill_rss(btf, &mut params).err());
    params.registers = registers(btf);
    if machine.pid_namespace != 0 {
        match pids(btf, machine.pid_namespace) {
            Some(pids) => params.pids = pids,
            None => missing.push(Missing { what: PIDS, needed_by: NOBODY, loses: IDENTITY }),
        }
    }
    if params.registers.go_argument0 == ABSENT || params.registers.go_argument1 == ABSENT {
        missing.push(Missing { what: "pt_regs", needed_by: &["go_fatal"], loses: "" });
    }
    let memory = btf.enum_value("cgroup_subsys_id", "memory_cgrp_id");
    match memory.and_then(|v| u32::try_from(v).ok()) {
        Some(id) => params.cgroup.memory_subsys = id,
        None => missing.push(Missing { what: "memory_cgrp_id", needed_by: NOBODY, loses: "v1 memory cgroup ids" }),
    }
    if btf.enum_value("bpf_func_id", "BPF_FUNC_map_lookup_percpu_elem").is_none() {
        let what = "bpf_func_id.map_lookup_percpu_elem";
        missing.push(Missing { what, needed_by: &["calib_cpus"], loses: "" });
    }
    missing.extend(fill_syscalls(formats, &mut params));
    for row in &EVENTS {
        let format = formats.format(row.category, row.event);
        match format.and_then(|f| f.offset(row.field, row.size)) {
            Some(at) => *(row.slot)(&mut params) = at,
            None => missing.push(Missing { what: row.what, needed_by: row.needed_by, loses: row.loses }),
        }
    }
    (params, missing)
}

#[cfg(test)]
mod tests;
