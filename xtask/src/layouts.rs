//! `cargo xtask layouts`: the tables of Go's runtime that come with memtrace, read from a program that every release
//! builds for every architecture; with `--check`, compared with the tables in the tree.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::{dist, matrix, paths, toolchains};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Compare with the tables in the tree instead of writing them
    #[arg(long)]
    check: bool,
    /// What to compare, such as 1.26.6 [default: three releases of the matrix]
    #[arg(requires = "check", value_name = "RELEASE")]
    releases: Vec<String>,
}

/// Oldest, newest and one between.
const CHECKED: &[&str] = &["1.19.8", "1.22.10", "1.27.3"];
const ARCHITECTURES: &[&str] = &["amd64", "arm64"];
const TABLES: &str = "memtrace/src/goruntime/layout/tables";
/// Nothing but the runtime, so that the tables say nothing of a library.
const PROGRAM: &str = "package main\n\nfunc main() { select {} }\n";

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    match (args.check, args.releases.as_slice()) {
        (false, _) => read(&["write", TABLES], &toolchains::known()?)?,
        (true, []) => check()?,
        (true, releases) => read(&["check"], releases)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The suite.
pub(crate) fn check() -> Result<()> {
    read(&["check"], CHECKED)
}

/// What the reader `tests/src/bin/layouts.rs` says of the programs of these releases.
fn read(what: &[&str], releases: &[impl AsRef<str>]) -> Result<()> {
    let step = Step::start("layouts", &format!("a program by each of {} releases of Go", releases.len()));
    let mut programs = Vec::new();
    for release in releases.iter().map(AsRef::as_ref) {
        for arch in ARCHITECTURES {
            programs.push(build(release, arch).with_context(|| format!("Go {release} for {arch}"))?);
        }
        step.heartbeat(release);
    }
    let mut reader = Command::new(dist::build_tested("layouts-build", &step)?.join("layouts"));
    if !reader.args(what).args(programs).status().context("cannot run the reader")?.success() {
        bail!("the programs in {} cannot be read, or are not as the tables say", paths::layouts().display());
    }
    step.done("read");
    Ok(())
}

/// With symbols and DWARF, not relocatable.
fn build(release: &str, arch: &str) -> Result<PathBuf> {
    let source = paths::layouts().join("main.go");
    let program = paths::layouts().join(release).join(arch);
    let mut go = toolchains::go(release)?;
    go.args(["build", "-o"]).arg(&program).arg(&source).env("CGO_ENABLED", "0").env("GOARCH", arch);
    fs::create_dir_all(paths::layouts()).context("cannot make target/layouts")?;
    fs::write(&source, PROGRAM).with_context(|| format!("cannot write {}", source.display()))?;
    matrix::make(&mut go, &program, PROGRAM)?;
    Ok(program)
}
