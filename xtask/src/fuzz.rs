//! `cargo xtask fuzz`: libFuzzer on every reader of untrusted bytes, for so many seconds each.
//!
//! cargo-fuzz wants a nightly compiler for its sanitizers. Coverage alone needs none: the pass and its options are stable
//! codegen flags. Readers have no `unsafe` to sanitize; what is looked for are panics, hangs and memory.
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::{paths, proc, setup};

const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// What one input may take: the promise of the readers.
const INPUT_SECONDS: u32 = 2;
/// The readers' 64 MiB, and libFuzzer's own.
const MEMORY_MIB: u32 = 256;
/// Inputs come close to real tables, not to real files.
const INPUT_MAX_BYTES: u32 = 1 << 16;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target (see tests/fuzz/targets)
    #[arg(long)]
    target: Option<String>,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::ensure()?;
    let targets = targets(args.target.as_deref())?;
    let built = build()?;
    let mut failed = Vec::new();
    for target in &targets {
        eprintln!("fuzz: {target}, {} s", args.seconds);
        if !run(&built.join(target), target, args.seconds)? {
            failed.push(target.as_str());
        }
    }
    println!("{} targets, {} failed {}", targets.len(), failed.len(), failed.join(" "));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn home() -> PathBuf {
    paths::root().join("tests/fuzz")
}

/// The names of the targets: their files.
fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let files = fs::read_dir(home().join("targets")).context("no tests/fuzz/targets")?;
    let mut names: Vec<String> =
        files.filter_map(|file| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    if let Some(only) = only {
        names.retain(|name| name == only);
    }
    if names.is_empty() {
        bail!("no such target; see tests/fuzz/targets");
    }
    Ok(names)
}

/// Builds all targets; where they are.
fn build() -> Result<PathBuf> {
    // With --target build scripts and macros are not instrumented.
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = paths::cargo_target().join("fuzz");
    let mut cargo = proc::cargo();
    cargo.args(["build", "--release", "--bins", "--target", &triple, "--manifest-path"]);
    cargo.arg(home().join("Cargo.toml")).arg("--target-dir").arg(&output);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("the fuzz targets do not build");
    }
    Ok(output.join(triple).join("release"))
}

/// Whether the target survived. What it finds by the way is kept under target/, beside the corpus of the tree.
fn run(binary: &Path, target: &str, seconds: u32) -> Result<bool> {
    let found = paths::root().join("target/fuzz-corpus").join(target);
    let artifacts = paths::logs().join("");
    for directory in [&found, &artifacts] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let mut fuzzer = Command::new(binary);
    fuzzer.arg(&found).arg(home().join("corpus").join(target));
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_SECONDS}"));
    fuzzer.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg(format!("-max_len={INPUT_MAX_BYTES}"));
    fuzzer.arg(format!("-artifact_prefix={}fuzz-{target}-", artifacts.display())).arg("-print_final_stats=1");
    let output = fuzzer.output().with_context(|| format!("cannot run {}", binary.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let shown: Vec<&str> = if output.status.success() {
        text.lines().filter(|line| line.starts_with("stat::number_of_executed") || line.starts_with("Done ")).collect()
    } else {
        text.lines().collect()
    };
    shown.iter().for_each(|line| eprintln!("{line}"));
    Ok(output.status.success())
}
