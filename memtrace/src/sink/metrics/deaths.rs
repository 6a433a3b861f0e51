//! The series of the dead, by workload: they outlive the container, and memtrace.
use super::families::{Families, Label, label};
use super::table::Metric;
use crate::sink::oom::{Causes, Counted, Counters};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// More workloads than have series.
const OTHERS: &str = "(others)";
/// Of deaths that were counted when one of the two was not.
const NOT_RECORDED: &str = "not_recorded";

/// Deaths and OOM kills, by trigger and verdict; `None`: they are in another row.
type Table = BTreeMap<(String, String), [Option<u64>; 2]>;

/// Those with the most deaths have series: they are the last to change places. The others are one together.
pub(super) fn add(families: &mut Families, deaths: &Counters, max: usize) {
    let mut workloads: Vec<(&String, &Counted)> = deaths.workloads.iter().collect();
    workloads.sort_by_key(|(name, counted)| (name.as_str() == OTHERS, Reverse(counted.deaths)));
    let own = workloads.iter().take(max).filter(|(name, _)| name.as_str() != OTHERS).count();
    let (own, others) = workloads.split_at(own);
    for (name, counted) in own {
        push(families, &[label("workload", name), label("by", &counted.by)], &table(counted));
    }
    let mut together = Table::new();
    for (key, counts) in others.iter().flat_map(|(_, counted)| table(counted)) {
        let sums = together.entry(key).or_default().iter_mut();
        sums.zip(counts).for_each(|(sum, n)| *sum = n.map(|n| n + sum.unwrap_or(0)).or(*sum));
    }
    push(families, &[label("workload", OTHERS)], &together);
    families.add(Metric::WorkloadsLeftOut, &[], others.iter().filter(|(name, _)| *name != OTHERS).count() as u64);
}

fn push(families: &mut Families, of: &[Label], table: &Table) {
    for ((trigger, verdict), [deaths, oom_kills]) in table {
        let labels = [of, &[label("trigger", trigger), label("verdict", verdict)]].concat();
        families.add(Metric::Deaths, &labels, *deaths);
        families.add(Metric::OomKills, &labels, *oom_kills);
    }
}

/// What an older memtrace counted is known by its trigger only, and its OOM kills by neither.
fn table(counted: &Counted) -> Table {
    let mut table = Table::new();
    for Causes { trigger, pattern, deaths, oom_kills } in &counted.causes {
        table.insert((trigger.clone(), pattern.clone()), [Some(*deaths), Some(*oom_kills)]);
    }
    for (trigger, deaths) in &counted.triggers {
        let known: u64 = counted.causes.iter().filter(|of| of.trigger == *trigger).map(|of| of.deaths).sum();
        if *deaths > known {
            table.insert((trigger.clone(), NOT_RECORDED.to_owned()), [Some(deaths - known), None]);
        }
    }
    let known: u64 = counted.causes.iter().map(|of| of.oom_kills).sum();
    if counted.oom_kills > known {
        table.insert((NOT_RECORDED.to_owned(), NOT_RECORDED.to_owned()), [None, Some(counted.oom_kills - known)]);
    }
    table
}
