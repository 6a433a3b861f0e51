//! What was measured, for people and as JSON, and which goals it meets.

use serde::Serialize;

use super::super::samples::{Samples, Spread};
use super::latency::{FIRST, LAST, LOOKS, PERCENTILES, TOOK};

#[derive(Serialize)]
pub(super) struct Report {
    schema: &'static str,
    rounds: u32,
    heap_mib: u32,
    figures: Vec<Figure>,
    latencies: Vec<Latency>,
}

/// How long something took.
#[derive(Serialize)]
pub(super) struct Figure {
    what: String,
    unit: &'static str,
    runs: usize,
    spread: Option<Spread>,
    p99: Option<f64>,
    goal: Option<f64>,
    met: Option<bool>,
}

impl Figure {
    pub(super) fn new(what: String, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        // Of few there is no such percentile.
        let p99 = values.get(values.len() * 99 / 100).copied().filter(|_| values.len() >= 100);
        Self { what, unit, runs: values.len(), spread: Spread::of(&values), p99, goal: None, met: None }
    }

    /// The median is to be at most that.
    pub(super) fn goal(self, goal: f64) -> Self {
        let met = self.spread.is_some_and(|spread| spread.median <= goal);
        Self { goal: Some(goal), met: Some(met), ..self }
    }
}

/// One percentile of the latencies while somebody looks, against those of the same round without.
#[derive(Serialize)]
struct Latency {
    look: &'static str,
    every_millis: u32,
    percentile: &'static str,
    alone_us: Option<Spread>,
    us: Option<Spread>,
    added_ratio: Option<Spread>,
    /// How far apart two phases of one round are in which nobody looks: in half of the rounds at most that.
    noise_ratio: Option<f64>,
    /// Of one look, meanwhile.
    took_ms: Option<Spread>,
    /// Whether no more than the noise; asked of ours only.
    verdict: &'static str,
}

impl Report {
    pub(super) fn new(rounds: u32, heap_mib: u32, figures: Vec<Figure>, latencies: Option<&Samples>) -> Self {
        let latencies = latencies.map(latencies_of).unwrap_or_default();
        Self { schema: "memtrace.bench.goruntime/1", rounds, heap_mib, figures, latencies }
    }

    pub(super) fn print(&self) {
        println!("\n{:<66}{:>12}{:>22}{:>12}{:>8}", "wall time, median (least to most)", "", "", "99 %", "goal");
        for figure in &self.figures {
            let Some(Spread { median, min, max }) = figure.spread else { continue };
            let range = format!("({min:.2}-{max:.2})");
            let value = format!("{median:.2} {}", figure.unit);
            let p99 = figure.p99.map_or(String::new(), |p99| format!("{p99:.1}"));
            let goal = figure.goal.map_or(String::new(), |goal| format!("{goal:.0}"));
            println!("{:<66}{value:>12}{range:>22}{p99:>12}{goal:>8}  {}", figure.what, verdict(figure.met));
        }
        if self.latencies.is_empty() {
            return;
        }
        println!("\nlatency of a service with {} MiB of live heap while somebody looks: medians of", self.heap_mib);
        println!("{} rounds, and how far apart two phases without anybody are in half of them", self.rounds);
        let heads = ["alone, us", "looked at", "added", "noise", "look, ms"];
        println!("{:<54}{:>12}{:>12}{:>10}{:>10}{:>10}", "", heads[0], heads[1], heads[2], heads[3], heads[4]);
        for row in &self.latencies {
            let median = |s: Option<Spread>| s.map_or("?".to_owned(), |s| format!("{:.0}", s.median));
            let percent = |ratio: Option<f64>| ratio.map_or("?".to_owned(), |ratio| format!("{:+.1} %", 100.0 * ratio));
            let took = row.took_ms.map_or("?".to_owned(), |s| format!("{:.2}", s.median));
            let added = percent(row.added_ratio.map(|s| s.median));
            let what = format!("{} every {} ms", row.look, row.every_millis);
            let what = format!("{what:<44}{:>8}", row.percentile.trim_end_matches(" us"));
            println!(
                "{what:<54}{:>12}{:>12}{added:>10}{:>10}{took:>10}  {}",
                median(row.alone_us),
                median(row.us),
                percent(row.noise_ratio),
                row.verdict
            );
        }
    }
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "MISSED",
        None => "",
    }
}

fn latencies_of(samples: &Samples) -> Vec<Latency> {
    let mut rows = Vec::new();
    for look in &LOOKS {
        for percentile in PERCENTILES {
            let added_ratio = samples.share(percentile, look.name, FIRST);
            let noise_ratio = middle_distance(samples.shares(percentile, LAST, FIRST));
            let verdict = match (added_ratio, noise_ratio) {
                (Some(added), Some(noise)) if look.is_ours => within(added.median, noise),
                _ => "",
            };
            rows.push(Latency {
                look: look.name,
                every_millis: look.every_millis,
                percentile,
                alone_us: samples.plain(percentile, FIRST),
                us: samples.plain(percentile, look.name),
                added_ratio,
                noise_ratio,
                took_ms: samples.plain(TOOK, look.name),
                verdict,
            });
        }
    }
    rows
}

/// From 0, of half of the values at most.
fn middle_distance(values: Vec<f64>) -> Option<f64> {
    Spread::of(&values.into_iter().map(f64::abs).collect::<Vec<_>>()).map(|distance| distance.median)
}

/// Where phases without anybody differ by more than a quarter, nothing is to be told.
fn within(added: f64, noise: f64) -> &'static str {
    match added <= noise {
        _ if noise > 0.25 => "too noisy",
        true => "met",
        false => "MISSED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_the_noise_is_met() {
        let mut samples = Samples::default();
        for (round, last) in [(0, 110.0), (1, 95.0), (2, 180.0)] {
            samples.add(PERCENTILES[0], FIRST, round, 100.0);
            samples.add(PERCENTILES[0], LAST, round, last);
            samples.add(PERCENTILES[1], FIRST, round, 100.0);
            samples.add(PERCENTILES[1], LAST, round, 140.0);
            samples.add(PERCENTILES[2], FIRST, round, 100.0);
            for percentile in PERCENTILES {
                samples.add(percentile, LOOKS[0].name, round, 109.0);
                samples.add(percentile, LOOKS[1].name, round, 130.0);
                samples.add(percentile, LOOKS[3].name, round, 111.0);
            }
        }
        let rows = latencies_of(&samples);
        let verdict = |name: &str, percentile: &str| {
            rows.iter().find(|row| row.look == name && row.percentile == percentile).map(|row| row.verdict)
        };
        assert_eq!(verdict(LOOKS[0].name, PERCENTILES[0]), Some("met"));
        assert_eq!(verdict(LOOKS[1].name, PERCENTILES[0]), Some(""), "not ours");
        assert_eq!(verdict(LOOKS[3].name, PERCENTILES[0]), Some("MISSED"));
        assert_eq!(verdict(LOOKS[0].name, PERCENTILES[1]), Some("too noisy"));
        assert_eq!(verdict(LOOKS[0].name, PERCENTILES[2]), Some(""), "nothing known of the noise");
    }

    #[test]
    fn a_goal_is_for_the_median() {
        let figure = |values: &[f64]| Figure::new(String::new(), "ms", values.to_vec()).goal(20.0);
        assert_eq!(figure(&[90.0, 10.0, 20.0]).met, Some(true));
        assert_eq!(figure(&[21.0, 90.0, 10.0]).met, Some(false));
        assert_eq!(figure(&[]).met, Some(false));
    }
}
