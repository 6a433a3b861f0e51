//! `bench agent`: what the agent costs beside crowds of idle Go programs, and Debian's exporters beside the same.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use super::HOUR;
use crate::debian::{self, Wanted};
use crate::progress::Step;
use crate::{paths, proc, workloads};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Programs at once
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    programs: Vec<u32>,
}

/// What people have at hand: package, upstream version, file in the archive's pool, its hash.
const EXPORTERS: [(&str, &str, &str, &str); 2] = [
    (
        "prometheus-node-exporter",
        "1.5.0",
        "pool/main/p/prometheus-node-exporter/prometheus-node-exporter_1.5.0-1+b6_amd64.deb",
        "8cb5b39627595ea2cf3cd27be593e0e9af87023d29e1c5b8487e2f9510097e09",
    ),
    (
        "prometheus-process-exporter",
        "0.7.10",
        "pool/main/p/prometheus-process-exporter/prometheus-process-exporter_0.7.10-3+b5_amd64.deb",
        "148a5eb8d7c2bd971c02afbfab30e01f89defdb47f9ad690bc6d0faa1d46dd0f",
    ),
];

pub(super) fn main(args: &Args) -> Result<ExitCode> {
    for (package, upstream, pool_path, sha256) in EXPORTERS {
        let wanted = Wanted { name: package, package, pool_path, sha256, place: &paths::services().join(package) };
        wanted.provide(|| debian::find(package, upstream), |tree| Ok(tree.join("usr/bin").join(package)))?;
    }
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
