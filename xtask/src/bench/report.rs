//! What was measured, for people and as JSON, and which goals it meets.

use serde::Serialize;

use super::probes::{
    AGAIN, BESIDE, BYSTANDER, COMPANY, EMPTY, FRESH, GETPPID, MADVISE, NO_FAULTS, STAT, TRACE, UNTRACED,
};
use super::ring::RingRow;
use super::samples::{Samples, Spread};

#[derive(Serialize)]
pub(super) struct Report {
    schema: &'static str,
    repetitions: u32,
    disturbed_samples: u32,
    costs: Vec<Cost>,
    breakdown: Breakdown,
    ring: Vec<RingRow>,
    goals: Vec<Goal>,
}

/// One row: a measure under a setup.
#[derive(Serialize)]
struct Cost {
    measure: &'static str,
    setup: &'static str,
    ns: Spread,
    added_ns: Option<Spread>,
    /// Added over untraced.
    added_ratio: Option<Spread>,
    /// Added, in multiples of what the empty pair adds.
    empty_pairs: Option<Spread>,
}

/// Run time by the kernel's count (BPF_ENABLE_STATS), which adds to each run about what the empty programs show.
#[derive(Default, Serialize)]
pub(super) struct Breakdown {
    pub(super) target: Vec<ProgramRuns>,
    pub(super) bystander: Vec<ProgramRuns>,
}

#[derive(Serialize)]
pub(super) struct ProgramRuns {
    pub(super) during: &'static str,
    pub(super) name: String,
    pub(super) runs: u64,
    pub(super) ns_per_run: f64,
}

#[derive(Serialize)]
struct Goal {
    says: &'static str,
    limit: f64,
    measured: Option<f64>,
    met: bool,
}

impl Report {
    pub(super) fn new(
        repetitions: u32,
        disturbed_samples: u32,
        samples: &Samples,
        breakdown: Breakdown,
        ring: Vec<RingRow>,
    ) -> Self {
        let costs = costs(samples);
        let goals = goals(samples, &ring);
        Self { schema: "memtrace.bench/1", repetitions, disturbed_samples, costs, breakdown, ring, goals }
    }

    pub(super) fn print(&self) {
        println!("\nmedians of {} repetitions (least to most), in CPU time of the caller", self.repetitions);
        println!("{:<26}{:>22}{:>22}{:>10}{:>22}", "", "ns", "added ns", "added", "in empty pairs");
        let mut measure = "";
        for cost in &self.costs {
            if cost.measure != measure {
                measure = cost.measure;
                println!("{measure}");
            }
            let share = cost.added_ratio.map_or(String::new(), |s| format!("{:+.1} %", s.median * 100.0));
            let (added, pairs) = (optional(cost.added_ns, 0), optional(cost.empty_pairs, 2));
            println!("  {:<24}{:>22}{added:>22}{share:>10}{pairs:>22}", cost.setup, spread(cost.ns, 0));
        }
        if self.disturbed_samples > 0 {
            println!("{} samples were taken while other tracers came or went", self.disturbed_samples);
        }
        println!("\nns per program run, by the kernel's count, which adds to each what the empty ones show");
        for (who, rows) in [("target", &self.breakdown.target), ("bystander", &self.breakdown.bystander)] {
            for row in rows {
                println!("  {who:<10}{:<14}{:>8.0}   {:>9} runs, {}", row.name, row.ns_per_run, row.runs, row.during);
            }
        }
        if !self.ring.is_empty() {
            println!("\n{:<34}{:>26}{:>10}{:>16}{:>20}", "ring", "events/s", "lost", "consumer CPU", "ns/event");
        }
        for row in &self.ring {
            let cpu = format!("{:.0} %", row.consumer_cpu_ratio.median * 100.0);
            let (rate, ns) = (spread(row.events_per_second, 0), spread(row.consumer_ns_per_event, 0));
            println!("  {:<32}{rate:>26}{:>10}{cpu:>16}{ns:>20}", row.name, row.lost);
        }
        println!("\ngoals");
        for goal in &self.goals {
            let measured = goal.measured.map_or("not measured".to_owned(), |m| format!("{m:.2}"));
            println!("  {:<8}{}: {measured}", if goal.met { "met" } else { "MISSED" }, goal.says);
        }
    }
}

fn spread(s: Spread, digits: usize) -> String {
    format!("{:.digits$} ({:.digits$}-{:.digits$})", s.median, s.min, s.max)
}

fn optional(s: Option<Spread>, digits: usize) -> String {
    s.map_or(String::new(), |s| spread(s, digits))
}

fn costs(samples: &Samples) -> Vec<Cost> {
    let mut costs = Vec::new();
    for measure in [MADVISE, COMPANY, GETPPID, FRESH, BESIDE, AGAIN] {
        for setup in [UNTRACED, EMPTY, BYSTANDER, NO_FAULTS, STAT, TRACE] {
            let Some(ns) = samples.plain(measure, setup) else { continue };
            let compared = setup != UNTRACED;
            costs.push(Cost {
                measure,
                setup,
                ns,
                added_ns: samples.added(measure, setup, UNTRACED).filter(|_| compared),
                added_ratio: samples.share(measure, setup, UNTRACED).filter(|_| compared),
                empty_pairs: samples.multiple(measure, setup, EMPTY, UNTRACED).filter(|_| compared && setup != EMPTY),
            });
        }
    }
    costs
}

fn goals(samples: &Samples, ring: &[RingRow]) -> Vec<Goal> {
    let at_most = |says, limit: f64, measured: Option<Spread>| {
        let measured = measured.map(|s| s.median);
        Goal { says, limit, measured, met: measured.is_some_and(|m| m <= limit) }
    };
    let pairs = |measure, setup| samples.multiple(measure, setup, EMPTY, UNTRACED);
    let mut goals = vec![
        at_most("stat adds at most 2.5 times what the empty pair adds", 2.5, pairs(MADVISE, STAT)),
        at_most("a non-target's madvise pays at most 1.4 empty pairs", 1.4, pairs(MADVISE, BYSTANDER)),
        at_most("a non-target's other calls pay at most 1.4 empty pairs", 1.4, pairs(GETPPID, BYSTANDER)),
        at_most(
            "fault tracking adds at most 10 % to a touch loop (nothing returned)",
            0.10,
            samples.share(FRESH, STAT, NO_FAULTS),
        ),
        at_most(
            "fault tracking adds at most 10 % to a touch loop (every page returned before)",
            0.10,
            samples.share(AGAIN, STAT, NO_FAULTS),
        ),
    ];
    let best = ring.iter().filter(|row| row.lost == 0).map(|row| row.events_per_second.median).max_by(f64::total_cmp);
    goals.push(Goal {
        says: "500000 events/s without loss",
        limit: 500_000.0,
        measured: best,
        met: best.is_some_and(|b| b >= 500_000.0),
    });
    goals
}
