//! Who has series of its own. The others are summed up in one more, so that sums over all stay right.
use super::families::{Families, Series, Value, label};
use super::process::{self, Figure};
use super::table::{Kind, Metric};
use crate::dossier::{Living, Present};
use crate::event::TargetId;
use std::collections::{HashMap, HashSet};

/// Its pid.
const OTHER: &str = "other";

/// The first to come stay; who finds no room has none until its end, so that no figure is in two series. Totals of those
/// without room grow by what each of them has grown since the last scrape: that one ends takes nothing away.
#[derive(Debug, Default)]
pub struct Admitted {
    own: HashSet<TargetId>,
    /// Their totals at the last scrape.
    others: HashMap<TargetId, Vec<(Metric, Value)>>,
    totals: HashMap<Metric, Value>,
}

impl Admitted {
    pub(super) fn add(&mut self, families: &mut Families, present: &Present, max: usize) {
        self.choose(&present.processes, max);
        let mut sums: HashMap<Metric, Value> = HashMap::new();
        for living in &present.processes {
            let figures = process::figures(living, present);
            match self.others.get_mut(&living.process.target) {
                None => process::add(families, living, figures),
                Some(before) => {
                    let summed = figures.into_iter().filter(|figure| figure.metric.is_summed());
                    let (gauges, totals): (Vec<_>, Vec<_>) =
                        summed.partition(|figure| figure.metric.kind() == Kind::Gauge);
                    gauges.iter().for_each(|figure| add(&mut sums, figure.metric, &figure.value));
                    for Figure { metric, value, .. } in &totals {
                        let old = before.iter().find(|(of, _)| of == metric);
                        let grown = old.map_or_else(|| value.clone(), |(_, old)| value.since(old));
                        add(&mut self.totals, *metric, &grown);
                    }
                    *before = totals.into_iter().map(|figure| (figure.metric, figure.value)).collect();
                }
            }
        }
        for metric in Metric::ALL {
            if let Some(value) = sums.get(metric).or(self.totals.get(metric)) {
                let shared = [label("pid", OTHER)].into();
                families.push(*metric, Series { shared, own: None, value: value.clone() });
            }
        }
        families.add(Metric::LeftOut, &[], self.others.len() as u64);
    }

    /// Those with series, after [`Admitted::add`].
    pub(super) fn own<'a>(&'a self, processes: &'a [Living]) -> impl Iterator<Item = &'a Living> {
        processes.iter().filter(|living| self.own.contains(&living.process.target))
    }

    fn choose(&mut self, processes: &[Living], max: usize) {
        let there: HashSet<TargetId> = processes.iter().map(|living| living.process.target).collect();
        self.own.retain(|target| there.contains(target));
        self.others.retain(|target, _| there.contains(target));
        for target in processes.iter().map(|living| living.process.target) {
            if self.own.contains(&target) || self.others.contains_key(&target) {
                continue;
            }
            if self.own.len() < max {
                self.own.insert(target);
            } else {
                self.others.insert(target, Vec::new());
            }
        }
    }
}

fn add(sums: &mut HashMap<Metric, Value>, metric: Metric, value: &Value) {
    sums.entry(metric).and_modify(|sum| sum.add(value)).or_insert_with(|| value.clone());
}
