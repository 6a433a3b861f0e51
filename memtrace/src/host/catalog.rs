//! The probe catalogue: one row per eBPF program. Names are at most 15 bytes (the kernel's limit).
use std::fmt;

/// Which end of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Enter,
    Exit,
}

/// Where a program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Attached by the id tracefs gives.
    Tracepoint { category: &'static str, name: &'static str },
    /// Attached to the kernel's function behind a system call, without a cost to any other call; needs no tracefs.
    Function { syscall: &'static str, end: End },
    /// Attached by name; needs no tracefs.
    RawTracepoint { name: &'static str },
    /// `PERF_COUNT_SW_PAGE_FAULTS_MIN` and `_MAJ` with period 1, one pair per thread of each target, inherited by new
    /// threads. Not `PAGE_FAULTS`: that fires before the fault is handled, these after, when its page can be looked at.
    TaskPageFaults,
    /// Uprobes on the functions by which a Go runtime ends its process, in each executable that a target runs.
    GoFatal,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hook::Tracepoint { category, name } => write!(f, "tracepoint {category}:{name}"),
            Hook::Function { syscall, end: End::Enter } => write!(f, "fentry {}", function_of(syscall)),
            Hook::Function { syscall, end: End::Exit } => write!(f, "fexit {}", function_of(syscall)),
            Hook::RawTracepoint { name } => write!(f, "raw tracepoint {name}"),
            Hook::GoFatal => write!(f, "uprobes on Go's throw, fatal and fatalpanic, per executable"),
            Hook::TaskPageFaults => write!(f, "perf events minor-faults and major-faults, per target task"),
        }
    }
}

/// The kernel's function behind a system call: `__x64_sys_madvise`.
pub fn function_of(syscall: &str) -> String {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    format!("__{arch}_sys_{syscall}")
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
    /// Fatal errors of Go runtimes are looked for.
    GoFatal,
    /// There is a black box.
    Walks,
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
    /// The object's program for [`Hook::Function`], where there is one.
    pub function: Option<&'static str>,
    /// Without it there is no ledger.
    pub required: bool,
    /// What is not known without it, for the reader.
    pub loses: &'static str,
    pub when: When,
    /// What pays, and how many ns: medians of facts/kernel.md sections 3 and 4, on a slow nested VM (null syscall 177 ns,
    /// fault 1.9 µs). `None`: rare events, not measurable.
    pub bystander: Option<(Bystander, u32)>,
}

const LEDGER: &str = "the ledger";
const PROCESS_MADVISE: &str = "calls of process_madvise";

const fn row(name: &'static str, family: &'static str, hook: Hook) -> Program {
    Program {
        name,
        object: name,
        family,
        hook,
        function: None,
        required: false,
        loses: LEDGER,
        when: When::Always,
        bystander: None,
    }
}

const fn enter(name: &'static str, function: &'static str, family: &'static str, event: &'static str) -> Program {
    let hook = Hook::Tracepoint { category: "syscalls", name: event };
    Program { function: Some(function), bystander: Some((Bystander::Syscall, 39)), ..row(name, family, hook) }
}

/// All exits of a family by tracepoints are one program.
const fn exit(name: &'static str, function: &'static str, family: &'static str, event: &'static str) -> Program {
    let object = if family.as_bytes()[0] == b'a' { "advise_out" } else { "map_out" };
    Program { object, bystander: Some((Bystander::Syscall, 18)), ..enter(name, function, family, event) }
}

/// Only during start-up, always by the tracepoint.
const fn calibration(name: &'static str, when: When) -> Program {
    Program { when, function: None, ..enter(name, "", "advise", "sys_enter_madvise") }
}

const fn vmscan(name: &'static str, event: &'static str) -> Program {
    row(name, "reclaim", Hook::Tracepoint { category: "vmscan", name: event })
}

const fn raw(name: &'static str, family: &'static str, event: &'static str) -> Program {
    row(name, family, Hook::RawTracepoint { name: event })
}

const fn loses(program: Program, what: &'static str) -> Program {
    Program { loses: what, ..program }
}

const fn required(program: Program) -> Program {
    Program { required: true, ..program }
}

const fn paid(program: Program, when: When, what: Bystander, ns: u32) -> Program {
    Program { when, bystander: Some((what, ns)), ..program }
}

pub const PROGRAMS: [Program; 29] = [
    required(enter("madvise_in", "fn_madvise_in", "advise", "sys_enter_madvise")),
    required(exit("madvise_out", "fn_madvise_out", "advise", "sys_exit_madvise")),
    loses(enter("pmadvise_in", "fn_pmadvise_in", "advise", "sys_enter_process_madvise"), PROCESS_MADVISE),
    loses(exit("pmadvise_out", "fn_pmadvise_out", "advise", "sys_exit_process_madvise"), PROCESS_MADVISE),
    required(enter("mmap_in", "fn_mmap_in", "map", "sys_enter_mmap")),
    required(exit("mmap_out", "fn_mmap_out", "map", "sys_exit_mmap")),
    required(enter("munmap_in", "fn_munmap_in", "map", "sys_enter_munmap")),
    required(exit("munmap_out", "fn_munmap_out", "map", "sys_exit_munmap")),
    required(enter("mremap_in", "fn_mremap_in", "map", "sys_enter_mremap")),
    required(exit("mremap_out", "fn_mremap_out", "map", "sys_exit_mremap")),
    required(enter("brk_in", "fn_brk_in", "map", "sys_enter_brk")),
    required(exit("brk_out", "fn_brk_out", "map", "sys_exit_brk")),
    loses(
        paid(row("fault_task", "fault", Hook::TaskPageFaults), When::TaskFaults, Bystander::Fault, 48),
        "re-faults, kept bytes and faults",
    ),
    loses(
        paid(raw("fault_host", "fault", "page_fault_user"), When::HostFaults, Bystander::Fault, 175),
        "nothing: with -a each task gets events of its own instead",
    ),
    loses(raw("sig_generate", "oom", "signal_generate"), "who killed a process, and which ones the OOM killer did"),
    loses(raw("sig_deliver", "oom", "signal_deliver"), "the last state of a killed process"),
    loses(
        Program { when: When::Walks, ..raw("sig_walk", "oom", "signal_deliver") },
        "heap profile and goroutines of a killed process as it died: the last close look is all there is",
    ),
    loses(
        row("mark_victim", "oom", Hook::Tracepoint { category: "oom", name: "mark_victim" }),
        "the kernel's totals of an OOM victim",
    ),
    loses(vmscan("memcg_in", "mm_vmscan_memcg_reclaim_begin"), "stalls in the reclaim of a memory cgroup"),
    loses(vmscan("memcg_out", "mm_vmscan_memcg_reclaim_end"), "stalls in the reclaim of a memory cgroup"),
    loses(vmscan("direct_in", "mm_vmscan_direct_reclaim_begin"), "stalls in direct reclaim"),
    loses(vmscan("direct_out", "mm_vmscan_direct_reclaim_end"), "stalls in direct reclaim"),
    required(raw("task_fork", "task", "sched_process_fork")),
    required(raw("task_exec", "task", "sched_process_exec")),
    required(raw("task_exit", "task", "sched_process_exit")),
    loses(
        Program { when: When::GoFatal, ..row("go_fatal", "task", Hook::GoFatal) },
        "what a Go runtime says as it ends its process",
    ),
    loses(
        paid(raw("page_free", "exact", "mm_page_free"), When::Exact, Bystander::FreedPage, 75),
        "freed bytes (--exact)",
    ),
    loses(calibration("calib_cpus", When::StartUpPercpu), "unmapped bytes from 6.2 on, nothing before"),
    loses(
        calibration("calib_map", When::StartUp),
        "page by page counts: calls of processes with threads are approximate, partial returns untracked",
    ),
];

impl Program {
    /// The same by the function behind its system call.
    pub fn by_function(&self) -> Option<Hook> {
        let (Some(_), Hook::Tracepoint { name, .. }) = (self.function, self.hook) else { return None };
        let enter = name.strip_prefix("sys_enter_").map(|syscall| (syscall, End::Enter));
        let (syscall, end) = enter.or_else(|| Some((name.strip_prefix("sys_exit_")?, End::Exit)))?;
        Some(Hook::Function { syscall, end })
    }
}

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
            assert!(p.name.len() <= 15 && p.function.is_none_or(|f| f.len() <= 15), "{}", p.name);
            assert_eq!(p.by_function().is_some(), p.function.is_some(), "{}", p.name);
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
