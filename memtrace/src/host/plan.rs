//! The decision, made of facts alone: which probe can run here, which not and why, and what would help.
use super::catalog::{Bystander, Hook, PROGRAMS, Program, When};
use super::facts::{Access, Facts, Pids};
use super::offsets::{Missing, PIDS};
use super::rss::{NO_PERCPU, RssMethod, RssPlan, rss_plan};
use memtrace_common::params::{ABSENT, Params, rss_mode};

/// How system calls are hooked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallHook {
    /// By functions, which costs bystanders nothing, where that works; else by tracepoints.
    #[default]
    Cheapest,
    Functions,
    Tracepoints,
}

/// What is asked of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Track re-faults.
    pub faults: bool,
    /// Every process is a target: one fault hook for all instead of one per task.
    pub whole_host: bool,
    /// Count freed pages (`--exact`).
    pub exact: bool,
    /// Look for fatal errors of Go runtimes.
    pub go_fatal: bool,
    pub calls: CallHook,
    /// Walk through the memory of the dying.
    pub walks: bool,
}

impl Default for Want {
    fn default() -> Self {
        let calls = CallHook::Cheapest;
        Want { faults: true, whole_host: false, exact: false, go_fatal: true, walks: true, calls }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// This kernel has no such thing.
    Unsupported,
    /// It has, but not for this user.
    NotPermitted,
    /// It should work and does not.
    Broken,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Unsupported => "unsupported",
            Verdict::NotPermitted => "not_permitted",
            Verdict::Broken => "broken",
        }
    }
}

/// Why something does not work, and what to do: one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub verdict: Verdict,
    pub reason: String,
    pub fix: Option<String>,
}

fn obstacle(verdict: Verdict, reason: impl Into<String>, fix: impl Into<String>) -> Obstacle {
    Obstacle { verdict, reason: reason.into(), fix: Some(fix.into()).filter(|f: &String| !f.is_empty()) }
}

/// One row of the catalogue, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbePlan {
    pub program: &'static Program,
    /// As chosen: the program's own, or the function behind its system call.
    pub hook: Hook,
    /// `None`: it can run.
    pub obstacle: Option<Obstacle>,
    /// What would keep it from its own hook, where that was not chosen.
    own_obstacle: Option<Obstacle>,
    /// What was asked includes it.
    pub wanted: bool,
}

impl ProbePlan {
    pub fn verdict(&self) -> Verdict {
        self.obstacle.as_ref().map_or(Verdict::Ok, |o| o.verdict)
    }

    /// Load and attach it for the run (start-up programs are not part of the run).
    pub fn attach(&self) -> bool {
        self.wanted && self.obstacle.is_none() && !self.program.when.start_up()
    }

    /// What bystanders pay for it: nothing where only one function is hooked.
    pub fn bystander(&self) -> Option<(Bystander, u32)> {
        self.program.bystander.filter(|_| !self.by_function())
    }

    /// The object's program for the chosen hook.
    pub fn object(&self) -> &'static str {
        self.program.function.filter(|_| self.by_function()).unwrap_or(self.program.object)
    }

    fn by_function(&self) -> bool {
        matches!(self.hook, Hook::Function { .. })
    }
}

/// How re-faults are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultHook {
    None,
    PerTask,
    WholeHost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub probes: Vec<ProbePlan>,
    /// What stops everything; empty when nothing does.
    pub blockers: Vec<Obstacle>,
    /// What works less well: one line each.
    pub notes: Vec<String>,
    pub rss: RssPlan,
    pub fault_hook: FaultHook,
    calls: CallHook,
}

impl Plan {
    /// Can `stat` run here?
    pub fn is_ready(&self) -> bool {
        self.blockers.is_empty() && self.probes.iter().all(|p| !p.program.required || p.obstacle.is_none())
    }

    pub fn probe(&self, name: &str) -> Option<&ProbePlan> {
        self.probes.iter().find(|p| p.program.name == name)
    }

    /// Programs to load and attach.
    pub fn attached(&self) -> impl Iterator<Item = &ProbePlan> {
        self.probes.iter().filter(|p| p.attach())
    }

    /// What kept a function from being hooked although that was chosen; `None` where functions were insisted on.
    pub fn failed_function(&self) -> Option<&str> {
        let failed = |p: &ProbePlan| p.by_function() && p.obstacle.is_some();
        let probe = self.probes.iter().find(|p| failed(p)).filter(|_| self.calls == CallHook::Cheapest)?;
        Some(&probe.obstacle.as_ref()?.reason)
    }

    /// The same plan with tracepoints for all system calls.
    #[must_use]
    pub fn by_tracepoints(mut self) -> Plan {
        for probe in self.probes.iter_mut().filter(|p| p.by_function()) {
            probe.hook = probe.program.hook;
            probe.obstacle = probe.own_obstacle.take();
        }
        self
    }

    /// A self-test or an attach failed: takes the probe out of the plan.
    pub fn mark_broken(&mut self, name: &str, reason: impl Into<String>) {
        if let Some(probe) = self.probes.iter_mut().find(|p| p.program.name == name) {
            probe.obstacle.get_or_insert(obstacle(Verdict::Broken, reason, ""));
        }
        self.fault_hook = match self.fault_hook {
            FaultHook::PerTask if name == "fault_task" => FaultHook::None,
            FaultHook::WholeHost if name == "fault_host" => FaultHook::None,
            hook => hook,
        };
    }

    /// What the calibration found: without every CPU's offset RSS is not read.
    pub fn calibrated(&mut self, cpus: u64) {
        if self.rss.method == RssMethod::Percpu && cpus == 0 {
            self.rss = NO_PERCPU;
        }
    }

    /// What processes that are no targets pay while the plan runs: (per what, ns).
    pub fn bystander_costs(&self) -> Vec<(Bystander, u32)> {
        let of = |kind: Bystander| {
            let paid = self.attached().filter_map(ProbePlan::bystander).filter(|(k, _)| *k == kind).map(|(_, ns)| ns);
            // Syscall probes share one cost per side: the enter and the exit cost, once each.
            let mut each: Vec<u32> = paid.collect();
            each.sort_unstable();
            each.dedup();
            (kind, each.iter().sum())
        };
        let kinds = [Bystander::Syscall, Bystander::Fault, Bystander::FreedPage];
        kinds.into_iter().map(of).filter(|(_, ns)| *ns > 0).collect()
    }

    /// What to do, each line once, most fundamental first.
    pub fn fixes(&self) -> Vec<&str> {
        let needed = self.probes.iter().filter(|p| p.wanted).filter_map(|p| p.obstacle.as_ref());
        let mut lines = Vec::new();
        for fix in self.blockers.iter().chain(needed).filter_map(|o| o.fix.as_deref()) {
            if !lines.contains(&fix) {
                lines.push(fix);
            }
        }
        lines
    }
}

const RIGHTS: &str = "run as root, or setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep memtrace";
const MOUNT: &str = "mount -t tracefs nodev /sys/kernel/tracing";
const NEW_KERNEL: &str = "use a kernel of 5.10 or later, built with CONFIG_DEBUG_INFO_BTF=y";

/// What the reader is told there.
pub const OWN_PIDS: &str =
    "own PID namespace: the processes of this pod alone, and no lines of the kernel's log, which calls them otherwise";

/// What stops every probe, most fundamental first.
fn blockers(facts: &Facts, params: &Params) -> Vec<Obstacle> {
    let mut out = Vec::new();
    if facts.version < (5, 10) {
        out.push(obstacle(Verdict::Unsupported, format!("kernel {} is older than 5.10", facts.release), NEW_KERNEL));
    }
    match &facts.btf {
        Access::Readable => {}
        Access::Absent => out.push(obstacle(Verdict::Unsupported, "kernel without BTF", NEW_KERNEL)),
        Access::Denied => out.push(obstacle(Verdict::NotPermitted, "BTF is not readable", RIGHTS)),
        Access::Broken(why) => out.push(obstacle(Verdict::Broken, why, "report this kernel's BTF to memtrace")),
    }
    let has = |name| facts.has_capability(name);
    let missing: Vec<&str> =
        ["CAP_BPF", "CAP_PERFMON"].into_iter().filter(|c| !has(c) && !has("CAP_SYS_ADMIN")).collect();
    if !missing.is_empty() {
        let who = if facts.euid == 0 { "root here lacks" } else { "this user lacks" };
        let fix = if facts.euid == 0 {
            "give the container CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
        } else {
            RIGHTS
        };
        out.push(obstacle(Verdict::NotPermitted, format!("{who} {}", missing.join(" and ")), fix));
    } else if !facts.initial_user_namespace {
        let reason = "capabilities inside a user namespace do not count for BPF";
        out.push(obstacle(Verdict::NotPermitted, reason, "run as root of the host's first user namespace"));
    }
    if facts.lockdown.as_deref() == Some("confidentiality") {
        let reason = "kernel lockdown (confidentiality) forbids BPF to read kernel memory";
        out.push(obstacle(Verdict::NotPermitted, reason, "boot without lockdown=confidentiality"));
    }
    match &facts.tracefs {
        Access::Readable => {}
        Access::Absent => out.push(obstacle(Verdict::Unsupported, "tracefs is not mounted", MOUNT)),
        Access::Denied => {
            let fix = if facts.euid == 0 { "give the container /sys/kernel/tracing to read" } else { RIGHTS };
            out.push(obstacle(Verdict::NotPermitted, "tracefs is not readable", fix));
        }
        Access::Broken(why) => out.push(obstacle(Verdict::Broken, why, MOUNT)),
    }
    match facts.pids {
        Pids::Own(_) if facts.btf == Access::Readable && params.pids.namespace == 0 => {
            let reason = format!("own PID namespace, and this kernel does not describe {PIDS}");
            let fix = "run in the host's PID namespace (--pid=host, hostPID: true)";
            out.push(obstacle(Verdict::Unsupported, reason, fix));
        }
        Pids::Foreign => {
            let reason = "/proc is that of another PID namespace";
            out.push(obstacle(Verdict::Unsupported, reason, "mount -t proc proc /proc"));
        }
        Pids::Initial | Pids::Own(_) => {}
    }
    out
}

/// Does a blocker concern this hook? Only tracepoints need tracefs.
fn first_blocker(facts: &Facts, blockers: &[Obstacle], hook: Hook) -> Option<Obstacle> {
    let needs_tracefs = matches!(hook, Hook::Tracepoint { .. });
    let about_tracefs = |o: &Obstacle| facts.tracefs != Access::Readable && o.reason.contains("tracefs");
    blockers.iter().find(|o| needs_tracefs || !about_tracefs(o)).cloned()
}

fn hook_obstacle(facts: &Facts, hook: Hook) -> Option<Obstacle> {
    let absent = |what: String, fix: &str| Some(obstacle(Verdict::Unsupported, what, fix));
    match hook {
        Hook::Tracepoint { category, name } => {
            let wanted = format!("{category}:{name}");
            let found = facts.tracepoints.as_ref().is_none_or(|all| all.contains(&wanted));
            let fix = if category == "syscalls" { "use a kernel built with CONFIG_FTRACE_SYSCALLS=y" } else { "" };
            if found { None } else { absent(format!("this kernel has no tracepoint {wanted}"), fix) }
        }
        Hook::Function { .. } => facts.no_functions.clone().and_then(|why| absent(why, "")),
        Hook::RawTracepoint { name } => {
            let found = facts.raw_tracepoints.as_ref().is_none_or(|all| all.iter().any(|n| n == name));
            if found { None } else { absent(format!("this kernel has no tracepoint {name}"), "") }
        }
        Hook::TaskPageFaults if facts.perf_event_paranoid.is_none() => {
            absent("this kernel has no perf events".into(), "use a kernel built with CONFIG_PERF_EVENTS=y")
        }
        Hook::TaskPageFaults => None,
        Hook::GoFatal if !facts.uprobes => {
            absent("this kernel has no uprobes".into(), "use a kernel built with CONFIG_UPROBE_EVENTS=y")
        }
        Hook::GoFatal => None,
    }
}

fn missing_obstacle(missing: &[Missing], program: &Program) -> Option<Obstacle> {
    let lack = missing.iter().find(|m| m.needed_by.contains(&program.name))?;
    Some(obstacle(Verdict::Unsupported, format!("this kernel does not describe {}", lack.what), ""))
}

/// What the reader is told where functions cannot be hooked.
pub fn by_tracepoints(why: &str) -> String {
    format!("system calls by tracepoints, which slow every system call of the host a little: {why}")
}

fn notes(facts: &Facts, missing: &[Missing]) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(why) = &facts.no_functions {
        out.push(by_tracepoints(why));
    }
    if !facts.has_capability("CAP_SYS_PTRACE") {
        out.push("without CAP_SYS_PTRACE: no Go heap and no smaps of other users' processes".into());
    }
    if !facts.has_capability("CAP_SYS_RESOURCE") {
        out.push("without CAP_SYS_RESOURCE: PSI windows only in steps of 2 s".into());
        if facts.version < (5, 11) {
            out.push("kernels before 5.11 charge BPF maps to RLIMIT_MEMLOCK: raise it, or loading may fail".into());
        }
    }
    if let Pids::Own(_) = facts.pids {
        out.push(OWN_PIDS.into());
    }
    if facts.cgroup.memory_path.is_none() {
        out.push("no cgroup accounts memory here: no container figures".into());
    }
    let mut lost: Vec<&str> = Vec::new();
    for lack in missing.iter().filter(|m| m.needed_by.is_empty()) {
        if !lost.contains(&lack.loses) {
            lost.push(lack.loses);
            out.push(format!("not known: {}; this kernel lacks {}", lack.loses, lack.what.replace('|', " and ")));
        }
    }
    out
}

/// The plan for this host. `missing` and `params` come from [`super::offsets::params`], or are empty and
/// [`super::offsets::absent`] where there is no BTF.
pub fn plan(facts: &Facts, params: &Params, missing: &[Missing], want: &Want) -> Plan {
    let blockers = blockers(facts, params);
    let decide = |program: &Program, hook: Hook| {
        first_blocker(facts, &blockers, hook)
            .or_else(|| hook_obstacle(facts, hook))
            .or_else(|| missing_obstacle(missing, program))
    };
    let can = |name: &str| PROGRAMS.iter().any(|p| p.name == name && decide(p, p.hook).is_none());
    let functions = match want.calls {
        CallHook::Cheapest => facts.no_functions.is_none() && params.registers.argument0 != ABSENT,
        chosen => chosen == CallHook::Functions,
    };
    let fault_hook = match want {
        Want { faults: true, whole_host: true, .. } if can("fault_host") => FaultHook::WholeHost,
        Want { faults: true, .. } if can("fault_task") => FaultHook::PerTask,
        _ => FaultHook::None,
    };
    let wanted = |when: When| match when {
        When::Always | When::StartUp => true,
        When::StartUpPercpu => params.mm.rss_mode == rss_mode::PERCPU,
        // Where neither can run, the one asked for stands in the plan with its reason.
        When::TaskFaults => want.faults && fault_hook != FaultHook::WholeHost,
        When::HostFaults => fault_hook == FaultHook::WholeHost,
        When::Exact => want.exact,
        When::GoFatal => want.go_fatal,
        When::Walks => want.walks,
    };
    let probe = |p: &'static Program| {
        let hook = p.by_function().filter(|_| functions).unwrap_or(p.hook);
        let own_obstacle = if hook == p.hook { None } else { decide(p, p.hook) };
        ProbePlan { program: p, hook, obstacle: decide(p, hook), own_obstacle, wanted: wanted(p.when) }
    };
    // Where BTF cannot be read at all, the blocker says it; a list of all that is missing would not help.
    let known = if facts.btf == Access::Readable && facts.tracefs == Access::Readable { missing } else { &[] };
    Plan {
        probes: PROGRAMS.iter().map(probe).collect(),
        notes: notes(facts, known),
        rss: rss_plan(params, facts.page_bytes),
        fault_hook,
        blockers,
        calls: want.calls,
    }
}

#[cfg(test)]
pub(crate) mod tests;
