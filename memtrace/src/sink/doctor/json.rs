use crate::host::facts::{Access, Facts, Pids};
use crate::host::plan::{FaultHook, Obstacle, Plan, ProbePlan};
use crate::sink::json::pressure::PressureJson;
use serde::Serialize;
use std::io::{self, Write};

/// Fields are added freely; renaming or dropping one takes a new number.
pub const SCHEMA: &str = "memtrace.doctor/1";

#[derive(Serialize)]
struct Doctor<'a> {
    schema: &'static str,
    /// `uname -r`.
    kernel: &'a str,
    machine: &'a str,
    ready: bool,
    fixes: Vec<&'a str>,
    blockers: Vec<Blocker<'a>>,
    notes: &'a [String],
    probes: Vec<Probe<'a>>,
    cgroup: Cgroup<'a>,
    /// `always`, `madvise`, `never`; null without THP.
    thp: Option<&'a str>,
    thp_defrag: Option<&'a str>,
    khugepaged_max_ptes_none: Option<u32>,
    psi: bool,
    memory_pressure: Option<PressureJson>,
    capabilities: &'a [String],
    euid: u32,
    btf: &'static str,
    tracefs: &'static str,
    tracefs_path: Option<String>,
    lockdown: Option<&'a str>,
    unprivileged_bpf_disabled: Option<i32>,
    perf_event_paranoid: Option<i32>,
    swap_total_bytes: Option<u64>,
    possible_cpus: u32,
    online_cpus: u32,
    page_bytes: u64,
    initial_pid_namespace: bool,
    initial_user_namespace: bool,
    rss_method: &'static str,
    rss_reason: &'static str,
    /// Largest error of one reading.
    rss_error_bytes: Option<u64>,
    /// `per_task`, `whole_host`; null: re-faults are not tracked.
    fault_hook: Option<&'static str>,
    bystander_costs: Vec<Cost>,
}

#[derive(Serialize)]
struct Blocker<'a> {
    verdict: &'static str,
    reason: &'a str,
    fix: Option<&'a str>,
}

#[derive(Serialize)]
struct Probe<'a> {
    name: &'static str,
    family: &'static str,
    required: bool,
    verdict: &'static str,
    hook: String,
    reason: Option<&'a str>,
    fix: Option<&'a str>,
    /// What is not known without this probe; null where the verdict is `ok`.
    loses: Option<&'static str>,
    /// The chosen set-up attaches it.
    attached: bool,
    bystander_cost_ns: Option<u32>,
    /// What pays it: `syscall` (once, however many syscall probes), `page fault`, `freed page`.
    bystander_per: Option<&'static str>,
}

#[derive(Serialize)]
struct Cgroup<'a> {
    /// `v1`, `v2`, `hybrid`, `none`.
    version: &'static str,
    memory_version: Option<u8>,
    memory_path: Option<std::borrow::Cow<'a, str>>,
    own_path: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Serialize)]
struct Cost {
    per: &'static str,
    ns: u32,
}

pub(super) fn access(access: &Access) -> &'static str {
    match access {
        Access::Readable => "readable",
        Access::Absent => "absent",
        Access::Denied => "denied",
        Access::Broken(_) => "broken",
    }
}

fn probe(plan: &ProbePlan) -> Probe<'_> {
    let obstacle = plan.obstacle.as_ref();
    Probe {
        name: plan.program.name,
        family: plan.program.family,
        required: plan.program.required,
        verdict: plan.verdict().as_str(),
        hook: plan.hook.to_string(),
        reason: obstacle.map(|o| o.reason.as_str()),
        fix: obstacle.and_then(|o| o.fix.as_deref()),
        loses: obstacle.map(|_| plan.program.loses),
        attached: plan.attach(),
        bystander_cost_ns: plan.bystander().map(|(_, ns)| ns),
        bystander_per: plan.bystander().map(|(what, _)| what.as_str()),
    }
}

fn blocker(o: &Obstacle) -> Blocker<'_> {
    Blocker { verdict: o.verdict.as_str(), reason: &o.reason, fix: o.fix.as_deref() }
}

fn doctor<'a>(facts: &'a Facts, plan: &'a Plan) -> Doctor<'a> {
    let thp = facts.thp.as_ref();
    Doctor {
        schema: SCHEMA,
        kernel: &facts.release,
        machine: &facts.machine,
        ready: plan.is_ready(),
        fixes: plan.fixes(),
        blockers: plan.blockers.iter().map(blocker).collect(),
        notes: &plan.notes,
        probes: plan.probes.iter().map(probe).collect(),
        cgroup: Cgroup {
            version: facts.cgroup.version.as_str(),
            memory_version: facts.cgroup.memory_version,
            memory_path: facts.cgroup.memory_path.as_ref().map(|p| p.to_string_lossy()),
            own_path: facts.cgroup.own_path.as_ref().map(|p| p.to_string_lossy()),
        },
        thp: thp.map(|t| t.enabled.as_str()),
        thp_defrag: thp.map(|t| t.defrag.as_str()),
        khugepaged_max_ptes_none: thp.and_then(|t| t.max_ptes_none),
        psi: facts.psi,
        memory_pressure: facts.memory_pressure.as_ref().map(PressureJson::of),
        capabilities: &facts.capabilities,
        euid: facts.euid,
        btf: access(&facts.btf),
        tracefs: access(&facts.tracefs),
        tracefs_path: facts.tracefs_path.as_ref().map(|p| p.display().to_string()),
        lockdown: facts.lockdown.as_deref(),
        unprivileged_bpf_disabled: facts.unprivileged_bpf_disabled,
        perf_event_paranoid: facts.perf_event_paranoid,
        swap_total_bytes: facts.swap_total_bytes,
        possible_cpus: facts.possible_cpus,
        online_cpus: facts.online_cpus,
        page_bytes: facts.page_bytes,
        initial_pid_namespace: facts.pids == Pids::Initial,
        initial_user_namespace: facts.initial_user_namespace,
        rss_method: plan.rss.method.as_str(),
        rss_reason: plan.rss.reason,
        rss_error_bytes: plan.rss.error_bytes,
        fault_hook: match plan.fault_hook {
            FaultHook::None => None,
            FaultHook::PerTask => Some("per_task"),
            FaultHook::WholeHost => Some("whole_host"),
        },
        bystander_costs: plan.bystander_costs().into_iter().map(|(p, ns)| Cost { per: p.as_str(), ns }).collect(),
    }
}

/// One object on one line.
pub fn write_json(out: &mut dyn Write, facts: &Facts, plan: &Plan) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &doctor(facts, plan))?;
    writeln!(out)
}
