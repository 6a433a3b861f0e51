//! Records through the ring: how many a second without loss, and what taking them out costs.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::load::Load;
use super::probes::{Cast, STAT};
use super::samples::Spread;
use super::tracer::Tracer;
use crate::progress::Step;

const REPETITIONS: usize = 5;
const MILLIS: u64 = 1500;

/// A way to produce events: of how many processes, at which rate each (0: flat out), madvise of how many bytes. Length 0
/// does nothing in the kernel: it is the cheapest call that is recorded.
struct Flood {
    name: &'static str,
    processes: usize,
    rate: u64,
    length: u64,
}

const FLOODS: [Flood; 6] = [
    Flood { name: "1 process, 250 k/s", processes: 1, rate: 250_000, length: 4096 },
    Flood { name: "1 process, 500 k/s", processes: 1, rate: 500_000, length: 4096 },
    Flood { name: "1 process, flat out", processes: 1, rate: 0, length: 4096 },
    Flood { name: "2 processes, 250 k/s each", processes: 2, rate: 250_000, length: 4096 },
    Flood { name: "2 processes, flat out", processes: 2, rate: 0, length: 4096 },
    Flood { name: "1 process, flat out, empty range", processes: 1, rate: 0, length: 0 },
];

#[derive(Serialize)]
pub(super) struct RingRow {
    pub(super) name: &'static str,
    pub(super) repetitions: usize,
    pub(super) events_per_second: Spread,
    pub(super) received: u64,
    pub(super) lost: u64,
    /// memtrace's CPU time over the wall time.
    pub(super) consumer_cpu_ratio: Spread,
    pub(super) consumer_ns_per_event: Spread,
}

pub(super) fn measure(cast: &mut Cast) -> Result<Vec<RingRow>> {
    let mut rows = Vec::new();
    for flood in &FLOODS {
        let step = Step::start("ring", flood.name);
        let pids: Vec<u32> = loads(cast, flood).iter().map(|load| load.pid()).collect();
        let tracer = Tracer::start(&["stat", "-o", "json"], &pids, false)?;
        let mut runs = Vec::new();
        for _ in 0..REPETITIONS {
            runs.push(cast.undisturbed(STAT, |cast| run(cast, flood, &tracer))?);
        }
        let account = tracer.finish()?;
        let count = |name: &str| account[name].as_u64().with_context(|| format!("memtrace said no {name}"));
        let spread = |of: fn(&Run) -> f64| Spread::of(&runs.iter().map(of).collect::<Vec<_>>()).context("no run");
        rows.push(RingRow {
            name: flood.name,
            repetitions: REPETITIONS,
            events_per_second: spread(|r| r.calls / r.seconds)?,
            received: count("received")?,
            lost: count("lost")?,
            consumer_cpu_ratio: spread(|r| r.cpu_seconds / r.seconds)?,
            consumer_ns_per_event: spread(|r| r.cpu_seconds * 1e9 / r.calls)?,
        });
        step.done("measured");
    }
    Ok(rows)
}

fn loads<'a>(cast: &'a mut Cast, flood: &Flood) -> Vec<&'a mut Load> {
    [&mut cast.worker, &mut cast.other].into_iter().take(flood.processes).collect()
}

struct Run {
    calls: f64,
    seconds: f64,
    cpu_seconds: f64,
}

fn run(cast: &mut Cast, flood: &Flood, tracer: &Tracer) -> Result<Run> {
    let mut loads = loads(cast, flood);
    let before = tracer.cpu_ns();
    for load in &mut loads {
        load.order(&format!("flood {MILLIS} {} {} 1", flood.rate, flood.length))?;
    }
    let (mut calls, mut seconds): (f64, f64) = (0.0, 0.0);
    for load in &mut loads {
        let answer = load.answer()?;
        let (made, ns) = answer.split_once(' ').context("no answer about the flood")?;
        calls += made.parse::<f64>()?;
        seconds = seconds.max(ns.parse::<f64>()? / 1e9);
    }
    // The drain's timer and the queue behind it.
    thread::sleep(Duration::from_millis(100));
    Ok(Run { calls, seconds, cpu_seconds: (tracer.cpu_ns() - before) as f64 / 1e9 })
}
