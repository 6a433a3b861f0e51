//! `cargo xtask fuzz`: libFuzzer on every reader of untrusted bytes, for so many seconds each.
//!
//! cargo-fuzz wants a nightly compiler for its sanitizers. Coverage alone needs none: the pass and its options are stable
//! codegen flags. Readers have no `unsafe` to sanitize; what is looked for are panics, hangs and memory.
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::tally::Count;
use crate::{paths, proc, setup};

const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];
/// What one input may take. The readers promise two seconds of a CPU; this is time on the clock, and others run too.
const INPUT_SECONDS: u32 = 10;
/// The readers' 64 MiB, and libFuzzer's own.
const MEMORY_MIB: u32 = 256;
/// Inputs come close to real tables, not to real files.
const INPUT_MAX_BYTES: u32 = 1 << 16;

/// How long a found crash is made smaller.
const MINIMISE: Duration = Duration::from_secs(10);
/// What a fuzzer may take beyond its time, to read its inputs and to end.
const SLACK_SECONDS: u32 = 60;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each target runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target (see memtrace/src/fuzz.rs)
    #[arg(long)]
    target: Option<String>,
    /// Targets at once [default: one for each CPU]
    #[arg(long)]
    jobs: Option<usize>,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::ensure()?;
    let outcomes = run_all(args.seconds, args.target.as_deref(), args.jobs)?;
    println!("\n{HEAD}");
    outcomes.iter().for_each(|outcome| println!("{}", outcome.line()));
    let failed = outcomes.iter().filter(|outcome| !outcome.is_sound).count();
    println!("{} targets, {failed} failed", outcomes.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Of each target in the suite, and how many at once: together they take the five minutes of the soak beside them.
const SUITE_SECONDS: u32 = 60;
const SUITE_JOBS: usize = 3;

/// The suite: every target for its time.
pub(crate) fn suite() -> Result<(Count, Vec<String>)> {
    let outcomes = run_all(SUITE_SECONDS, None, Some(SUITE_JOBS))?;
    let failures: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome.is_sound).map(|outcome| outcome.target.clone()).collect();
    let failed = failures.len() as u64;
    Ok((Count { passed: outcomes.len() as u64 - failed, failed }, failures))
}

/// What became of every target, or of only one, after so long.
fn run_all(seconds: u32, only: Option<&str>, jobs: Option<usize>) -> Result<Vec<Outcome>> {
    let targets = targets(only)?;
    let binary = build()?;
    let jobs = jobs.or_else(|| thread::available_parallelism().map(usize::from).ok()).unwrap_or(1);
    let (left, done) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(target) = next() {
            let outcome = run(&binary, target, seconds);
            if let Ok(outcome) = &outcome {
                println!("{}", outcome.line());
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
        }
    };
    thread::scope(|scope| (0..jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let outcomes: Result<Vec<Outcome>> =
        done.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    let mut outcomes = outcomes?;
    outcomes.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(outcomes)
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
    /// Where the input is that it stumbled over.
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

    /// What was found becomes a regression, unless it is slow only beside others.
    fn judge(&mut self, binary: &Path) -> Result<()> {
        let input = PathBuf::from(&self.remark);
        if self.remark.contains("-timeout-") {
            let (mut alone, log) = (fuzzer(binary, &self.target), format!("fuzz-{}-alone", self.target));
            let step = Step::start(&log, "trying again what was slow");
            self.is_sound = run_limited(alone.arg(&input), &log, INPUT_SECONDS, &step).is_ok();
        }
        if !self.is_sound {
            self.remark = keep(binary, &self.target, &input)?.display().to_string();
        }
        Ok(())
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

/// The names of the targets: `cargo test` sees to it that each has a corpus.
fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let files = fs::read_dir(home().join("corpus")).context("no tests/fuzz/corpus")?;
    let mut names: Vec<String> = files.filter_map(|file| file.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    if let Some(only) = only {
        names.retain(|name| name == only);
    }
    if names.is_empty() {
        bail!("no such target; see tests/fuzz/corpus");
    }
    Ok(names)
}

/// Builds the one program of all targets; where it is.
pub(crate) fn build() -> Result<PathBuf> {
    // With --target build scripts and macros are not instrumented.
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let output = paths::cargo_target().join("fuzz");
    let mut cargo = proc::cargo();
    cargo.args(["build", "--release", "--bins", "--target", &triple, "--manifest-path"]);
    cargo.arg(home().join("Cargo.toml")).arg("--target-dir").arg(&output);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    let step = Step::start("fuzz", "building the targets (1 to 6 minutes at first)");
    proc::quiet(&mut cargo, "fuzz-build", Duration::from_secs(3600), &step)?;
    step.done("built");
    Ok(output.join(triple).join("release/memtrace-fuzz"))
}

/// libFuzzer's own main, for one target. A backtrace would take memory and time, which it counts as the input's.
fn fuzzer(binary: &Path, target: &str) -> Command {
    let mut fuzzer = Command::new(binary);
    fuzzer.env("TARGET", target).env("RUST_BACKTRACE", "0");
    fuzzer.arg(format!("-timeout={INPUT_SECONDS}")).arg(format!("-rss_limit_mb={MEMORY_MIB}"));
    fuzzer
}

/// Runs it to its end, or to ours: where an input makes it stop, it may wait for a lock that it holds itself.
fn run_limited(fuzzer: &mut Command, log: &str, seconds: u32, step: &Step) -> Result<()> {
    proc::quiet(fuzzer, log, Duration::from_secs(u64::from(seconds + SLACK_SECONDS)), step)
}

/// What it finds by the way is kept under target/, beside the corpus of the tree.
fn run(binary: &Path, target: &str, seconds: u32) -> Result<Outcome> {
    let found = paths::root().join("target/fuzz-corpus").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let kept = ["corpus", "regressions"].map(|kept| home().join(kept).join(target));
    let log = format!("fuzz-{target}");
    let mut fuzzer = fuzzer(binary, target);
    fuzzer.arg(&found).args(kept.iter().filter(|kept| kept.exists()));
    fuzzer.arg(format!("-max_len={INPUT_MAX_BYTES}")).arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-artifact_prefix={}/{log}-", paths::logs().display())).arg("-print_final_stats=1");
    let ran = run_limited(&mut fuzzer, &log, seconds, &Step::start(&log, &format!("{seconds} s")));
    let text = fs::read(proc::log_path(&log)?).context("no log of the fuzzer")?;
    let mut outcome = Outcome::of(target, ran.is_ok(), &String::from_utf8_lossy(&text));
    match ran {
        Err(failed) if outcome.remark.is_empty() => outcome.remark = format!("{failed:#}"),
        Err(_) => outcome.judge(binary)?,
        Ok(()) => {}
    }
    Ok(outcome)
}

/// Makes a crash smaller, and puts it where `cargo test` runs it from now on.
fn keep(binary: &Path, target: &str, input: &Path) -> Result<PathBuf> {
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    let regressions = home().join("regressions").join(target);
    fs::create_dir_all(&regressions).with_context(|| format!("cannot make {}", regressions.display()))?;
    let kept = regressions.join(name.rsplit('-').next().unwrap_or_default());
    fs::copy(input, &kept).with_context(|| format!("cannot keep {}", input.display()))?;
    let until = Instant::now() + MINIMISE;
    let smaller = input.with_extension("smaller");
    let step = Step::start(&format!("fuzz-{target}"), "making what crashes smaller");
    while name.contains("-crash-") && Instant::now() < until {
        let mut fuzzer = fuzzer(binary, target);
        fuzzer.args(["-minimize_crash_internal_step=1", "-max_total_time=2"]);
        fuzzer.arg(format!("-exact_artifact_path={}", smaller.display())).arg(&kept);
        // It fails when it has found a smaller one.
        let found = run_limited(&mut fuzzer, &format!("fuzz-{target}-smaller"), 2, &step).is_err();
        if !found || fs::rename(&smaller, &kept).is_err() {
            break;
        }
    }
    Ok(kept)
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
