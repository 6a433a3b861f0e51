//! `bench patterns`: programs that die of known causes, and how many of the verdicts are right.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

use super::HOUR;
use crate::progress::Step;
use crate::{paths, proc, toolchains};

/// One for each seed.
const RELEASES: &[&str] = &["1.21.13", "1.24.11", "1.27.3"];

pub(super) fn main() -> Result<ExitCode> {
    let step = Step::start("bench", "building memtrace and what it judges");
    super::build("bench_patterns", &step)?;
    let built = paths::cargo_target().join("release");
    let mut bench = Command::new(built.join("bench_patterns"));
    bench.env("MEMTRACE_BIN", built.join("memtrace"));
    for release in RELEASES {
        let program = paths::workloads().join(format!("patterns-{release}"));
        let mut go = toolchains::go(release)?;
        go.current_dir(paths::root().join("tests/workloads")).env("CGO_ENABLED", "0");
        go.args(["build", "-o"]).arg(&program).arg("./patterns");
        proc::quiet(&mut go, "bench-patterns-build", HOUR, &step)?;
        bench.arg(program);
    }
    step.done("built");
    let status = bench.status().context("cannot start bench_patterns")?;
    ensure!(status.success(), "bench_patterns failed");
    Ok(ExitCode::SUCCESS)
}
