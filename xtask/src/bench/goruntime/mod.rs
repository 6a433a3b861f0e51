//! `cargo xtask bench goruntime`: how long it takes to find a Go runtime and to read it, and what the process that is read
//! notices of that, beside the same answers by its own endpoints.

mod latency;
mod report;
mod subjects;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::load::Load;
use crate::paths;
use crate::progress::Step;
use report::{Figure, Report};
use subjects::Subject;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds of the latencies; each has every look in it once
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Live heap of the service, MiB; the goals are for 1024
    #[arg(long, default_value_t = 1024)]
    heap: u32,
    /// Only how long each look takes
    #[arg(long)]
    no_latency: bool,
}

const LOOK: &str = "bench_look";
const RUNS: u32 = 7;
const SAMPLES: u32 = 10_000;
const SPANS: u32 = 400_000;
const GOROUTINES: &str = "100000";
/// Processes on the host, and how many different programs they run.
const PROCESSES: [usize; 3] = [1, 20, 100];
const PROGRAMS: usize = 20;

fn memtrace() -> String {
    paths::cargo_target().join("release/memtrace").display().to_string()
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if !paths::is_root() {
        bail!("the bench reads other processes and needs root");
    }
    let step = Step::start("bench", "building memtrace, what it looks at, and a program as large as prometheus");
    super::build(LOOK, &step)?;
    let (program, copies) = subjects::build(PROGRAMS, &step)?;
    let large = subjects::build_large(&step)?;
    step.done("built");
    let step = Step::start("looks", "how long each takes; about a minute");
    let mut figures = Vec::new();
    let mut large = vec![("a generated program", large)];
    let prometheus = paths::root().join("target/services/prometheus");
    if prometheus.is_file() {
        large.push(("prometheus", prometheus));
    }
    for (name, path) in large {
        let mut look = Load::start(LOOK)?;
        let functions = look.figure(&format!("functions {}", path.display()))?;
        let took = look.figures(&format!("times {} locate {}", 3 * RUNS, path.display()))?;
        figures.push(Figure::new(format!("locate, stripped: {name}, {functions} functions"), "ms", took).goal(20.0));
    }
    samples(&program, &mut figures)?;
    spans(&program, &mut figures)?;
    let parked = Subject::start(&program, &["-goroutines", GOROUTINES])?;
    let took = command(&format!("goroutines -p {}", parked.pid()))?;
    figures.push(Figure::new(format!("memtrace goroutines, {GOROUTINES} of them"), "ms", took).goal(150.0));
    drop(parked);
    processes(&copies, &mut figures)?;
    let service = Subject::start(&program, &["-heap", &args.heap.to_string()])?;
    for look in &latency::LOOKS {
        let took = Load::start(LOOK)?.figures(&format!("times {RUNS} {}", look.order(&service)))?;
        let figure = Figure::new(format!("{}, {} MiB of live heap", look.name, args.heap), "ms", took);
        figures.push(if look.name == "memtrace explain" { figure.goal(300.0) } else { figure });
    }
    step.done("measured");
    let latencies = if args.no_latency { None } else { Some(latency::measure(&service, args.rounds)?) };
    let report = Report::new(args.rounds, args.heap, figures, latencies.as_ref());
    report.print();
    super::write("goruntime", &report)?;
    Ok(ExitCode::SUCCESS)
}

fn command(arguments: &str) -> Result<Vec<f64>> {
    Load::start(LOOK)?.figures(&format!("times {RUNS} run {} {arguments}", memtrace()))
}

fn samples(program: &std::path::Path, figures: &mut Vec<Figure>) -> Result<()> {
    for (name, arguments) in [("idle", &[][..]), ("4 goroutines allocate flat out", &["-load", "4"])] {
        let subject = Subject::start(program, arguments)?;
        let mut look = Load::start(LOOK)?;
        let took = look.figures(&format!("times {SAMPLES} sample {}", subject.pid()))?;
        let again = look.figures(&format!("retries {} {SAMPLES}", subject.pid()))?;
        let [again, refused] = again[..] else { bail!("no answer about retries") };
        let percent = |count: f64| 100.0 * count / f64::from(SAMPLES);
        let what = format!("sample, {name} ({:.1} % read again, {:.1} % refused)", percent(again), percent(refused));
        let micros = took.into_iter().map(|millis| 1000.0 * millis).collect();
        figures.push(Figure::new(what, "us", micros));
    }
    Ok(())
}

/// The first walk has everything to set up, as that of a command has.
fn spans(program: &std::path::Path, figures: &mut Vec<Figure>) -> Result<()> {
    let subject = Subject::start(program, &["-spans", &SPANS.to_string()])?;
    let took = Load::start(LOOK)?.figures(&format!("times {} spans {}", 3 * RUNS, subject.pid()))?;
    let mut took = took.into_iter().map(|millis| millis * 100_000.0 / f64::from(SPANS));
    let first = took.next().context("no walk")?;
    figures.push(Figure::new("span walk, the first, per 100 k spans".to_owned(), "ms", vec![first]));
    figures.push(Figure::new("span walk, per 100 k spans".to_owned(), "ms", took.collect()).goal(12.0));
    Ok(())
}

fn processes(copies: &[std::path::PathBuf], figures: &mut Vec<Figure>) -> Result<()> {
    let mut running = Vec::new();
    for wanted in PROCESSES {
        for copy in copies.iter().cycle().skip(running.len()).take(wanted - running.len()) {
            running.push(Subject::start(copy, &[])?);
        }
        let programs = wanted.min(copies.len());
        let what = format!("memtrace ps, {wanted} Go processes of {programs} programs");
        figures.push(Figure::new(what, "ms", command("ps")?).goal(1000.0));
    }
    Ok(())
}
