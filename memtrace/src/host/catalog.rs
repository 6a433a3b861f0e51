//! The probe catalogue: one row per eBPF program. Names are at most 15 bytes (the kernel's limit).
use std::fmt;

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Attached by the id tracefs gives.
    Tracepoint { category: &'static str, name: &'static str },
    /// Attached by name; needs no tracefs.
    RawTracepoint { name: &'static str },
    /// `PERF_COUNT_SW_PAGE_FAULTS_MIN` and `_MAJ` with period 1, one pair per thread of each target, inherited by new
    /// threads. Not `PAGE_FAULTS`: that fires before the fault is handled, these after, when its page can be looked at.
    TaskPageFaults,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hook::Tracepoint { category, name } => write!(f, "tracepoint {category}:{name}"),
            Hook::RawTracepoint { name } => write!(f, "raw tracepoint {name}"),
            Hook::TaskPageFaults => write!(f, "perf events minor-faults and major-faults, per target task"),
        }
    }
}

/// When a program is attached at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Always,
    /// Faults are tracked, by target.
    TaskFaults,
    /// Faults are tracked, by one hook for the whole host.
    HostFaults,
    /// `--exact`.
    Exact,
    /// Only during start-up.
    StartUp,
    /// Only during start-up, where RSS is counted by CPU.
    StartUpPercpu,
}

impl When {
    pub const fn start_up(self) -> bool {
        matches!(self, When::StartUp | When::StartUpPercpu)
    }
}

/// What bystanders (processes that are no targets) pay while a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bystander {
    /// Each syscall of each process, any syscall: the kernel takes the slow way once one `sys_enter` or `sys_exit`
    /// tracepoint is on. Paid once per side, however many probes there are.
    Syscall,
    /// Each page fault.
    Fault,
    /// Each page freed.
    FreedPage,
}

impl Bystander {
    pub fn as_str(self) -> &'static str {
        match self {
            Bystander::Syscall => "syscall",
            Bystander::Fault => "page fault",
            Bystander::FreedPage => "freed page",
        }
    }
}

/// One program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    pub name: &'static str,
    /// The object's program: one may serve several hooks.
    pub object: &'static str,
    pub family: &'static str,
    pub hook: Hook,
    /// Without it there is no ledger.
    pub required: bool,
    pub when: When,
    /// What pays, and how many ns: medians of facts/kernel.md sections 3 and 4, on a slow nested VM (null syscall 177 ns,
    /// fault 1.9 µs). `None`: rare events, not measurable.
    pub bystander: Option<(Bystander, u32)>,
}

const fn row(name: &'static str, family: &'static str, hook: Hook) -> Program {
    Program { name, object: name, family, hook, required: false, when: When::Always, bystander: None }
}

const fn enter(name: &'static str, family: &'static str, event: &'static str) -> Program {
    let hook = Hook::Tracepoint { category: "syscalls", name: event };
    Program { bystander: Some((Bystander::Syscall, 39)), ..row(name, family, hook) }
}

/// All exits of a family are one program.
const fn exit(name: &'static str, object: &'static str, family: &'static str, event: &'static str) -> Program {
    Program { object, bystander: Some((Bystander::Syscall, 18)), ..enter(name, family, event) }
}

const fn vmscan(name: &'static str, event: &'static str) -> Program {
    row(name, "reclaim", Hook::Tracepoint { category: "vmscan", name: event })
}

const fn raw(name: &'static str, family: &'static str, event: &'static str) -> Program {
    row(name, family, Hook::RawTracepoint { name: event })
}

const fn required(program: Program) -> Program {
    Program { required: true, ..program }
}

const fn paid(program: Program, when: When, what: Bystander, ns: u32) -> Program {
    Program { when, bystander: Some((what, ns)), ..program }
}

pub const PROGRAMS: [Program; 26] = [
    required(enter("madvise_in", "advise", "sys_enter_madvise")),
    required(exit("madvise_out", "advise_out", "advise", "sys_exit_madvise")),
    enter("pmadvise_in", "advise", "sys_enter_process_madvise"),
    exit("pmadvise_out", "advise_out", "advise", "sys_exit_process_madvise"),
    required(enter("mmap_in", "map", "sys_enter_mmap")),
    required(exit("mmap_out", "map_out", "map", "sys_exit_mmap")),
    required(enter("munmap_in", "map", "sys_enter_munmap")),
    required(exit("munmap_out", "map_out", "map", "sys_exit_munmap")),
    required(enter("mremap_in", "map", "sys_enter_mremap")),
    required(exit("mremap_out", "map_out", "map", "sys_exit_mremap")),
    required(enter("brk_in", "map", "sys_enter_brk")),
    required(exit("brk_out", "map_out", "map", "sys_exit_brk")),
    paid(row("fault_task", "fault", Hook::TaskPageFaults), When::TaskFaults, Bystander::Fault, 48),
    paid(raw("fault_host", "fault", "page_fault_user"), When::HostFaults, Bystander::Fault, 175),
    raw("sig_generate", "oom", "signal_generate"),
    row("mark_victim", "oom", Hook::Tracepoint { category: "oom", name: "mark_victim" }),
    vmscan("memcg_in", "mm_vmscan_memcg_reclaim_begin"),
    vmscan("memcg_out", "mm_vmscan_memcg_reclaim_end"),
    vmscan("direct_in", "mm_vmscan_direct_reclaim_begin"),
    vmscan("direct_out", "mm_vmscan_direct_reclaim_end"),
    required(raw("task_fork", "task", "sched_process_fork")),
    required(raw("task_exec", "task", "sched_process_exec")),
    required(raw("task_exit", "task", "sched_process_exit")),
    paid(raw("page_free", "exact", "mm_page_free"), When::Exact, Bystander::FreedPage, 75),
    Program { when: When::StartUpPercpu, ..enter("calib_cpus", "advise", "sys_enter_madvise") },
    Program { when: When::StartUp, ..enter("calib_map", "advise", "sys_enter_madvise") },
];

/// The row of a program.
pub fn program(name: &str) -> Option<&'static Program> {
    PROGRAMS.iter().find(|p| p.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_fit_the_kernel() {
        let names: HashSet<_> = PROGRAMS.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), PROGRAMS.len());
        for p in &PROGRAMS {
            assert!(p.name.len() <= 15, "{}", p.name);
        }
        assert!(program("madvise_in").is_some_and(|p| p.required) && program("nothing").is_none());
    }

    #[test]
    fn entries_and_exits_come_in_pairs() {
        for p in PROGRAMS.iter().filter(|p| p.name.ends_with("_in")) {
            let out = program(&p.name.replace("_in", "_out")).unwrap_or_else(|| panic!("{} has no exit", p.name));
            assert_eq!((p.family, p.required, p.when), (out.family, out.required, out.when));
        }
    }
}
