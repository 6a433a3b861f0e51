//! `memtrace.oom-counters/1`: deaths by workload, kept beside the dossiers. They only grow: neither a new start of memtrace
//! nor the end of a dossier takes anything away.
use super::Document;
use crate::sink::text::clean;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Write};

pub const COUNTERS_SCHEMA: &str = "memtrace.oom-counters/1";
/// More workloads than these share one entry.
const MAX: usize = 4096;
const OTHERS: &str = "(others)";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub schema: String,
    /// RFC 3339: when the first was counted; null: none was.
    pub since_wall: Option<String>,
    pub workloads: BTreeMap<String, Counted>,
}

/// Of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// `kubernetes`, `cgroup`, `exe`.
    pub by: String,
    /// With a dossier, whatever it was that made one.
    pub deaths: u64,
    /// By the OOM killer.
    pub oom_kills: u64,
    pub triggers: BTreeMap<String, u64>,
    /// Of the verdicts.
    pub patterns: BTreeMap<String, u64>,
    /// By both. Files of before it have none, and lack in it what they counted.
    #[serde(default)]
    pub causes: Vec<Causes>,
    pub last_wall: String,
}

/// Deaths of one trigger and one verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes {
    pub trigger: String,
    pub pattern: String,
    pub deaths: u64,
    pub oom_kills: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { schema: COUNTERS_SCHEMA.to_owned(), since_wall: None, workloads: BTreeMap::new() }
    }
}

impl Counters {
    pub fn parse(content: &[u8]) -> Result<Counters, String> {
        let counters: Counters = serde_json::from_slice(content).map_err(|why| format!("it is damaged: {why}"))?;
        if counters.schema == COUNTERS_SCHEMA { Ok(counters) } else { Err(format!("it is a {}", counters.schema)) }
    }

    pub fn add(&mut self, of: &Document) {
        let (name, by) = of.workload.as_ref().map_or((OTHERS, ""), |of| (of.name.as_str(), of.by.as_str()));
        let has_room = self.workloads.contains_key(name) || self.workloads.len() < MAX;
        let (name, by) = if has_room { (name, by) } else { (OTHERS, "") };
        self.since_wall.get_or_insert_with(|| of.killed_at_wall.clone());
        let counted = self.workloads.entry(name.to_owned()).or_default();
        by.clone_into(&mut counted.by);
        counted.deaths += 1;
        let oom_kills = u64::from(of.cause.ends_with("_oom"));
        counted.oom_kills += oom_kills;
        let causes = counted.causes(&of.trigger, &of.verdict.pattern);
        (causes.deaths, causes.oom_kills) = (causes.deaths + 1, causes.oom_kills + oom_kills);
        *counted.triggers.entry(of.trigger.clone()).or_default() += 1;
        *counted.patterns.entry(of.verdict.pattern.clone()).or_default() += 1;
        counted.last_wall.clone_from(&of.killed_at_wall);
    }
}

impl Counted {
    fn causes(&mut self, trigger: &str, pattern: &str) -> &mut Causes {
        let is_same = |of: &Causes| of.trigger == trigger && of.pattern == pattern;
        let at = self.causes.iter().position(is_same).unwrap_or_else(|| {
            self.causes.push(Causes { trigger: trigger.into(), pattern: pattern.into(), ..Causes::default() });
            self.causes.len() - 1
        });
        &mut self.causes[at]
    }
}

/// One object on one line.
pub fn write_counters_json(out: &mut dyn Write, counters: &Counters) -> io::Result<()> {
    serde_json::to_writer(&mut *out, counters)?;
    writeln!(out)
}

/// Most OOM kills first.
pub fn write_counters(out: &mut dyn Write, counters: &Counters) -> io::Result<()> {
    let mut rows: Vec<_> = counters.workloads.iter().collect();
    rows.sort_by_key(|(_, of)| std::cmp::Reverse((of.oom_kills, of.deaths)));
    if let Some(since) = &counters.since_wall {
        writeln!(out, "since {since}")?;
    }
    writeln!(out, "OOM KILLS  DEATHS  LAST                  WORKLOAD, VERDICTS")?;
    for (name, of) in rows {
        let seconds = of.last_wall.get(..19).unwrap_or(&of.last_wall);
        let patterns: Vec<_> = of.patterns.iter().map(|(pattern, n)| format!("{} {n}", clean(pattern, 30))).collect();
        let name = clean(name, 80);
        writeln!(out, "{:>9}  {:>6}  {seconds}Z  {name}  {}", of.oom_kills, of.deaths, patterns.join(", "))?;
    }
    Ok(())
}
