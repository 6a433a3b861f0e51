//! `cargo xtask bench`: what the product costs, as ratios within one run.

mod agent;
mod goruntime;
mod load;
mod patterns;
mod probes;
mod report;
mod ring;
mod samples;
mod tracer;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::progress::Step;
use crate::{paths, proc};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What a traced process, its neighbours and the ring pay for the probes (5 to 10 minutes)
    Probes(probes::Args),
    /// What reading a Go runtime costs, and the process that is read (about 6 minutes)
    Goruntime(goruntime::Args),
    /// What the agent costs beside 10, 100 and 1,000 idle Go programs, and Debian's exporters beside them (about 9 minutes)
    Agent(agent::Args),
    /// How many verdicts on programs that run out of memory in known ways are right (about 3 minutes)
    Patterns,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Probes(args) => probes::main(args),
        What::Goruntime(args) => goruntime::main(args),
        What::Agent(args) => agent::main(args),
        What::Patterns => patterns::main(),
    }
}

/// memtrace, and what puts it to the test.
fn build(load: &str, step: &Step) -> Result<()> {
    proc::quiet(proc::cargo().args(["build", "--release", "-p", "memtrace"]), "bench-build", HOUR, step)?;
    let load = ["build", "--release", "-p", "memtrace-tests", "--bin", load];
    proc::quiet(proc::cargo().args(load), "bench-load-build", HOUR, step)
}

/// The report as JSON, at `target/bench/NAME.json`.
fn write(name: &str, report: &impl Serialize) -> Result<()> {
    let path = paths::bench().join(name).with_extension("json");
    fs::create_dir_all(paths::bench()).context("cannot make target/bench")?;
    fs::write(&path, serde_json::to_string_pretty(report)? + "\n").context("cannot write the report")?;
    println!("written: {}", path.display());
    Ok(())
}
