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
    let mut outcomes = Vec::new();
    for target in &targets {
        let outcome = run(&built.join(target), target, args.seconds)?;
        println!("{}", outcome.line());
        outcomes.push(outcome);
    }
    println!("\n{HEAD}");
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    let failed = outcomes.iter().filter(|outcome| !outcome.is_sound).count();
    println!("{} targets, {failed} failed", outcomes.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const HEAD: &str = "target       executions  new inputs  slowest s  peak MiB  verdict";

/// What became of one target.
struct Outcome {
    target: String,
    /// As libFuzzer says at the end; `None`: it did not come to that.
    executions: Option<u64>,
    new_inputs: Option<u64>,
    slowest_seconds: Option<u64>,
    peak_mib: Option<u64>,
    is_sound: bool,
    remark: String,
}

impl Outcome {
    fn of(target: &str, is_sound: bool, stderr: &str) -> Outcome {
        let stat = |name: &str| {
            let line = stderr.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse().ok()
        };
        let written = stderr.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
        Outcome {
            target: target.to_owned(),
            executions: stat("number_of_executed_units"),
            new_inputs: stat("new_units_added"),
            slowest_seconds: stat("slowest_unit_time_sec"),
            peak_mib: stat("peak_rss_mb"),
            is_sound,
            remark: written.unwrap_or_default().to_owned(),
        }
    }

    fn line(&self) -> String {
        let number = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        let verdict = if self.is_sound { "ok" } else { "FAILED" };
        let [executions, new, slowest, peak] =
            [self.executions, self.new_inputs, self.slowest_seconds, self.peak_mib].map(number);
        let line = format!(
            "{:<12} {executions:>10} {new:>11} {slowest:>10} {peak:>9}  {verdict} {}",
            self.target, self.remark
        );
        line.trim_end().to_owned()
    }
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

/// What it finds by the way is kept under target/, beside the corpus of the tree.
fn run(binary: &Path, target: &str, seconds: u32) -> Result<Outcome> {
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
    if !output.status.success() {
        // Not its progress, but what it stumbled over.
        text.lines()
            .filter(|line| !line.starts_with('#') || line.contains(" in "))
            .for_each(|line| eprintln!("{line}"));
    }
    Ok(Outcome::of(target, output.status.success(), &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_one_line() {
        let stderr = "Done 7 runs in 1 second(s)\nstat::number_of_executed_units: 7\nstat::new_units_added:          2\n\
            stat::slowest_unit_time_sec:    0\nstat::peak_rss_mb:              48\n";
        let line = Outcome::of("elf", true, stderr).line();
        assert_eq!(line, "elf                   7           2          0        48  ok");
        let found = "thread panicked\nartifact_prefix='/t/'; Test unit written to /t/crash-1\n";
        assert_eq!(Outcome::of("elf", false, found).line().split_whitespace().last(), Some("/t/crash-1"));
    }
}
