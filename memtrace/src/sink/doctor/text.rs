use super::json::access;
use crate::host::facts::{Access, Facts, Pids};
use crate::host::plan::{FaultHook, Plan, ProbePlan};
use std::io::{self, Write};

/// Widest line.
const COLUMNS: usize = 100;
const LABEL: usize = 10;

/// Capabilities that change what memtrace can do.
const USEFUL: [&str; 6] =
    ["CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE", "CAP_SYSLOG"];

/// A label and its text, broken between words; what follows stands under the text.
fn row(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    let mut line = format!("{label:<LABEL$}");
    let mut empty = true;
    for word in text.split(' ') {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(LABEL);
        }
        line.push(' ');
        line.push_str(word);
        empty = false;
    }
    writeln!(out, "{line}")
}

fn rights(facts: &Facts) -> String {
    let who = if facts.euid == 0 { "root".to_owned() } else { format!("uid {}", facts.euid) };
    let split = |wanted: bool| {
        let names: Vec<&str> = USEFUL.into_iter().filter(|c| facts.has_capability(c) == wanted).collect();
        names.join(" ")
    };
    let (has, lacks) = (split(true), split(false));
    let has = if has.is_empty() { "none of use".to_owned() } else { has };
    if lacks.is_empty() { format!("{who}; has {has}") } else { format!("{who}; has {has}; lacks {lacks}") }
}

fn described(what: &Access) -> String {
    match what {
        Access::Broken(why) => format!("broken: {why}"),
        other => access(other).to_owned(),
    }
}

fn cgroup(facts: &Facts) -> String {
    let group = &facts.cgroup;
    match (&group.memory_path, group.memory_version) {
        (Some(path), Some(version)) => {
            format!("{}; memory is accounted by v{version} at {}", group.version.as_str(), path.display())
        }
        _ => format!("{}; memory is accounted nowhere", group.version.as_str()),
    }
}

fn thp(facts: &Facts) -> String {
    let Some(thp) = &facts.thp else { return "none".into() };
    let ptes = thp.max_ptes_none.map_or(String::new(), |n| format!("; khugepaged fills up to {n} empty pages"));
    format!("{}; defrag {}{ptes}", thp.enabled, thp.defrag)
}

fn costs(plan: &Plan) -> String {
    let each: Vec<String> =
        plan.bystander_costs().iter().map(|(p, ns)| format!("{ns} ns per {}", p.as_str())).collect();
    if each.is_empty() { "nothing attached".into() } else { format!("other processes pay about {}", each.join(", ")) }
}

fn rss(plan: &Plan) -> String {
    let error = match plan.rss.error_bytes {
        Some(0) => "; exact while no other thread of the process faults".to_owned(),
        Some(bytes) => format!("; off by up to {} KiB", bytes / 1024),
        None => String::new(),
    };
    format!("{}{error}", plan.rss.reason)
}

fn faults(plan: &Plan) -> &'static str {
    match plan.fault_hook {
        FaultHook::PerTask => "re-faults by a page-fault perf event per target task",
        FaultHook::WholeHost => "re-faults by one raw tracepoint for the whole host",
        FaultHook::None => "re-faults are not tracked",
    }
}

fn write_facts(out: &mut dyn Write, facts: &Facts, plan: &Plan) -> io::Result<()> {
    let (cpus, pages) = (facts.online_cpus, facts.page_bytes / 1024);
    row(out, "kernel", &format!("{} {}, {cpus} CPUs, pages of {pages} KiB", facts.release, facts.machine))?;
    row(out, "BTF", &described(&facts.btf))?;
    let tracefs = facts.tracefs_path.as_ref().map_or_else(|| described(&facts.tracefs), |p| p.display().to_string());
    row(out, "tracefs", &tracefs)?;
    row(out, "rights", &rights(facts))?;
    if let Some(lockdown) = &facts.lockdown {
        row(out, "lockdown", lockdown)?;
    }
    if facts.pids != Pids::Initial {
        row(out, "pids", "in a PID namespace of its own")?;
    }
    row(out, "cgroup", &cgroup(facts))?;
    row(out, "PSI", if facts.psi { "yes" } else { "no" })?;
    row(out, "THP", &thp(facts))?;
    let swap = match facts.swap_total_bytes {
        Some(0) => "none".to_owned(),
        Some(bytes) => format!("{} MiB", bytes >> 20),
        None => "unknown".to_owned(),
    };
    row(out, "swap", &swap)?;
    row(out, "RSS", &rss(plan))?;
    row(out, "faults", faults(plan))?;
    row(out, "cost", &costs(plan))
}

fn write_probe(out: &mut dyn Write, plan: &Plan, probe: &ProbePlan) -> io::Result<()> {
    let need = if probe.program.required { "required" } else { "optional" };
    let verdict = probe.verdict().as_str().replace('_', " ");
    // One this run would not attach is told from one that cannot be.
    let verdict = if probe.obstacle.is_none() && !probe.attach() { "ok, not used".to_owned() } else { verdict };
    writeln!(out, "{:<13} {need:<8}  {verdict:<13}  {}", probe.program.name, probe.hook)?;
    match &probe.obstacle {
        // What stops everything is said once, at the end.
        Some(o) if !plan.blockers.contains(o) => {
            row(out, "", &format!("    {}; without it not known: {}", o.reason, probe.program.loses))
        }
        _ => Ok(()),
    }
}

/// Facts, then the probes, then the answer. No line is wider than 100 columns.
pub fn write_text(out: &mut dyn Write, facts: &Facts, plan: &Plan) -> io::Result<()> {
    write_facts(out, facts, plan)?;
    writeln!(out, "\n{:<13} {:<8}  {:<13}  hook", "probe", "need", "verdict")?;
    for probe in &plan.probes {
        write_probe(out, plan, probe)?;
    }
    writeln!(out)?;
    for note in &plan.notes {
        row(out, "note", note)?;
    }
    row(out, "ready", if plan.is_ready() { "yes" } else { "no" })?;
    for blocker in &plan.blockers {
        row(out, "why", &blocker.reason)?;
    }
    for fix in plan.fixes() {
        row(out, "fix", fix)?;
    }
    Ok(())
}
