//! `cargo xtask bench probes`: madvise, unrelated system calls, page faults, the ring; then where the time goes.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::load::Load;
use super::samples::Samples;
use super::tracer::Tracer;
use super::{report, ring};
use crate::paths;
use crate::progress::Step;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Repetitions; everything is measured once in each, and medians are shown
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Only the costs per call and per page, not the ring
    #[arg(long)]
    no_ring: bool,
}

const LOAD: &str = "bench_load";

/// What is measured (a row group of the table) and the order that does it.
pub(super) const MADVISE: &str = "madvise of 1 untouched page, ns/call";
pub(super) const COMPANY: &str = "the same in a process with threads, ns/call";
pub(super) const GETPPID: &str = "getppid, ns/call";
pub(super) const FRESH: &str = "touch, nothing returned, ns/page";
pub(super) const BESIDE: &str = "touch, other memory returned, ns/page";
pub(super) const AGAIN: &str = "touch, every page returned before, ns/page";

/// Under what.
pub(super) const UNTRACED: &str = "untraced";
pub(super) const EMPTY: &str = "empty pair";
pub(super) const STAT: &str = "stat";
pub(super) const NO_FAULTS: &str = "stat --no-faults";
pub(super) const TRACE: &str = "trace > /dev/null";
pub(super) const BYSTANDER: &str = "another process in stat";

const TOUCHES: [&str; 3] = [FRESH, BESIDE, AGAIN];

fn order(measure: &str) -> &'static str {
    match measure {
        GETPPID => "getppid 2000000",
        FRESH => "touch 65536 3 fresh",
        BESIDE => "touch 65536 3 beside",
        AGAIN => "touch 65536 3 again",
        _ => "madvise 1000000",
    }
}

/// The processes of a bench.
pub(super) struct Cast {
    /// Does what is measured.
    pub(super) worker: Load,
    /// Like it, with a second thread.
    company: Load,
    /// A target that does nothing, or a second worker.
    pub(super) other: Load,
    /// Never a target: holds the empty programs, looks at the host.
    pub(super) keeper: Load,
    /// Samples that were taken although another tracer came or went meanwhile.
    pub(super) disturbed: u32,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    if !paths::is_root() {
        bail!("the bench loads eBPF programs and needs root");
    }
    let step = Step::start("bench", "building memtrace and its load");
    super::build(LOAD, &step)?;
    step.done("built");
    let mut cast = Cast {
        worker: Load::start(LOAD)?,
        company: Load::start(LOAD)?,
        other: Load::start(LOAD)?,
        keeper: Load::start(LOAD)?,
        disturbed: 0,
    };
    cast.company.ask("threads 1")?;
    let mut samples = Samples::default();
    for repetition in 0..args.reps {
        let step = Step::start(
            &format!("repetition {}/{}", repetition + 1, args.reps),
            "40 s to 2 min, longer beside other tracers",
        );
        repeat(&mut cast, &mut samples, repetition)?;
        step.done("measured");
    }
    let step = Step::start("breakdown", "run time of each program, by the kernel's own count");
    let breakdown = breakdown(&mut cast)?;
    step.done("measured");
    let rings = if args.no_ring { Vec::new() } else { ring::measure(&mut cast)? };
    let report = report::Report::new(args.reps, cast.disturbed, &samples, breakdown, rings);
    report.print();
    super::write("probes", &report)?;
    Ok(ExitCode::SUCCESS)
}

fn repeat(cast: &mut Cast, samples: &mut Samples, repetition: u32) -> Result<()> {
    let mut take = |cast: &mut Cast, measures: &[&'static str], setup: &'static str| -> Result<()> {
        for measure in measures {
            let value = cast.undisturbed(setup, |cast| {
                let load = if *measure == COMPANY { &mut cast.company } else { &mut cast.worker };
                load.figure(order(measure))
            })?;
            samples.add(measure, setup, repetition, value);
        }
        Ok(())
    };
    let calls = [MADVISE, COMPANY, GETPPID];
    take(cast, &calls, UNTRACED)?;
    take(cast, &TOUCHES, UNTRACED)?;
    cast.keeper.ask("empty on")?;
    let taken = take(cast, &calls, EMPTY);
    cast.keeper.ask("empty off")?;
    taken?;
    let targets = [cast.worker.pid(), cast.company.pid()];
    for (setup, pids, args) in [
        (STAT, &targets[..], &["stat", "-o", "json"][..]),
        (BYSTANDER, &[cast.other.pid()][..], &["stat", "-o", "json"][..]),
        (NO_FAULTS, &targets[..], &["stat", "-o", "json", "--no-faults"][..]),
        (TRACE, &targets[..], &["trace"][..]),
    ] {
        let tracer = Tracer::start(args, pids, setup == TRACE)?;
        let own = if setup == BYSTANDER { &calls[..] } else { &calls[..2] };
        take(cast, own, setup)?;
        if setup != TRACE {
            take(cast, &TOUCHES, setup)?;
        }
        tracer.finish()?;
    }
    Ok(())
}

impl Cast {
    /// Measures while nobody else on the host comes or goes with a tracer of this kind; waits for that, though not
    /// for ever.
    pub(super) fn undisturbed<T>(&mut self, setup: &str, mut work: impl FnMut(&mut Self) -> Result<T>) -> Result<T> {
        const ATTEMPTS: u32 = 4;
        let ours = u64::from(setup != UNTRACED && setup != EMPTY);
        for _ in 0..ATTEMPTS {
            let before = self.wait_for_tracers(ours)?;
            let value = work(self)?;
            let after = self.host()?;
            if before.1 == ours && after == (before.0 + 1, ours) {
                return Ok(value);
            }
        }
        self.disturbed += 1;
        work(self)
    }

    /// (a number that grows with every program anybody loads, memtraces on this host)
    fn host(&mut self) -> Result<(u64, u64)> {
        let answer = self.keeper.ask("host")?;
        let (epoch, tracers) = answer.split_once(' ').context("no answer about the host")?;
        Ok((epoch.parse()?, tracers.parse()?))
    }

    fn wait_for_tracers(&mut self, wanted: u64) -> Result<(u64, u64)> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let host = self.host()?;
            if host.1 == wanted || Instant::now() > deadline {
                return Ok(host);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs and run time of every program: id, name, runs, ns.
    fn programs(&mut self) -> Result<Vec<(u64, String, u64, u64)>> {
        let answer = self.keeper.ask("programs")?;
        let one = |text: &str| -> Option<(u64, String, u64, u64)> {
            let mut parts = text.split(':');
            let (id, name) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
            Some((id, name, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        };
        Ok(answer.split_whitespace().filter_map(one).collect())
    }

    /// What each program ran while `order` was carried out by the worker (or the one with threads).
    fn runs_during(&mut self, measure: &'static str) -> Result<Vec<report::ProgramRuns>> {
        self.undisturbed(STAT, |cast| {
            let before = cast.programs()?;
            let load = if measure == COMPANY { &mut cast.company } else { &mut cast.worker };
            load.figure(order(measure))?;
            let mut rows = Vec::new();
            for (id, name, runs, ns) in cast.programs()? {
                let (old_runs, old_ns) = before.iter().find(|p| p.0 == id).map_or((0, 0), |p| (p.2, p.3));
                let (runs, ns) = (runs - old_runs, ns - old_ns);
                if runs >= 10_000 {
                    rows.push(report::ProgramRuns { during: measure, name, runs, ns_per_run: ns as f64 / runs as f64 });
                }
            }
            Ok(rows)
        })
    }
}

fn breakdown(cast: &mut Cast) -> Result<report::Breakdown> {
    let targets = [cast.worker.pid(), cast.company.pid()];
    let mut result = report::Breakdown::default();
    cast.keeper.ask("statistics on")?;
    // The empty pair beside them shows what the counting itself costs.
    cast.keeper.ask("empty on")?;
    for (rows, pids) in [(&mut result.target, &targets[..]), (&mut result.bystander, &[cast.other.pid()][..])] {
        let tracer = Tracer::start(&["stat", "-o", "json"], pids, false)?;
        for measure in [MADVISE, COMPANY, FRESH, BESIDE, AGAIN] {
            rows.extend(cast.runs_during(measure)?);
        }
        tracer.finish()?;
    }
    cast.keeper.ask("empty off")?;
    cast.keeper.ask("statistics off")?;
    Ok(result)
}
