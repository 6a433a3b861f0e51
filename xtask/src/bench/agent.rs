//! `bench agent`: what the agent costs beside crowds of idle Go programs, and Debian's exporters beside the same.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use super::HOUR;
use crate::progress::Step;
use crate::{paths, proc, services, workloads};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Programs at once
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    programs: Vec<u32>,
}

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    services::fetch_exporters()?;
    let step = Step::start("bench", "building memtrace and idle programs");
    super::build("bench_agent", &step)?;
    proc::quiet(&mut workloads::build("./idle"), "bench-idle-build", HOUR, &step)?;
    step.done("built");
    let built = paths::cargo_target().join("release");
    std::fs::create_dir_all(paths::bench()).context("cannot make target/bench")?;
    let mut bench = Command::new(built.join("bench_agent"));
    bench.env("MEMTRACE_BIN", built.join("memtrace")).arg(paths::bench().join("agent.json"));
    let status = bench.args(args.programs.iter().map(u32::to_string)).status().context("cannot start bench_agent")?;
    ensure!(status.success(), "bench_agent failed");
    Ok(ExitCode::SUCCESS)
}
