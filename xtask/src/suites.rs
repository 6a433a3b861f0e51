//! `cargo xtask test`: every suite in order, all of them run, one table and one plain line at the end.

use std::fs::{self, File};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, Result, bail};

use crate::progress::human;
use crate::tally::{Count, Tally};
use crate::{deploy, dist, fuzz, layouts, matrix, paths, proc, services, setup, tidy, vm, workloads};

/// What a suite does; commands of one suite are counted together.
enum Work {
    /// Passes or fails as one.
    Check(fn() -> Vec<Command>),
    Tidy,
    /// Makes programs that the root suites run, or checks what was made of them.
    Programs(fn() -> Result<()>),
    /// `cargo test` commands, counted by test.
    Tests(fn() -> Vec<Command>),
    /// Counts itself, and names what failed.
    Counted(fn() -> Result<(Count, Vec<String>)>),
}

/// Who runs a suite.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    /// The inner loop too: minutes, and no rights.
    Always,
    /// Only the whole.
    Whole,
    /// Only the whole, as root.
    AsRoot,
}

struct Suite {
    name: &'static str,
    runs: Runs,
    work: Work,
}

/// In this order; those of one row at the same time.
const SUITES: &[&[Suite]] = &[
    &[Suite { name: "fmt", runs: Runs::Always, work: Work::Check(|| vec![cargo(&["fmt", "--all", "--check"])]) }],
    &[Suite { name: "tidy", runs: Runs::Always, work: Work::Tidy }],
    &[Suite {
        name: "clippy",
        runs: Runs::Always,
        work: Work::Check(|| {
            let soak = ["clippy", "-p", "memtrace-tests", "--test", "soak", "--", "-D", "warnings"];
            vec![cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]), cargo(&soak)]
        }),
    }],
    &[Suite {
        name: "unit",
        runs: Runs::Always,
        work: Work::Tests(|| {
            // The eBPF crate alone: with the others, features that only user space wants would reach it.
            let ebpf = cargo(&["test", "--no-fail-fast", "-p", "memtrace-ebpf"]);
            let small = cargo(&["test", "--no-fail-fast", "-p", "memtrace-common", "-p", "xtask"]);
            vec![tested("test", &["--lib", "--no-fail-fast"]), small, ebpf]
        }),
    }],
    &[Suite {
        name: "workloads",
        runs: Runs::Always,
        work: Work::Check(|| vec![workloads::build("./..."), workloads::build_native()]),
    }],
    // Only the later suites run them; the first time they take minutes.
    &[Suite { name: "matrix", runs: Runs::Whole, work: Work::Programs(matrix::build) }],
    // By the toolchains of the matrix.
    &[Suite { name: "layouts", runs: Runs::Whole, work: Work::Programs(layouts::check) }],
    &[Suite { name: "services", runs: Runs::Whole, work: Work::Programs(services::fetch) }],
    &[Suite { name: "deploy", runs: Runs::Whole, work: Work::Programs(deploy::fetch) }],
    &[
        Suite { name: "root", runs: Runs::AsRoot, work: Work::Tests(root) },
        // For the suites below, while the tests wait: only what they leave of the CPUs.
        Suite { name: "later", runs: Runs::Whole, work: Work::Check(|| vec![at_leisure("build-later")]) },
    ],
    // Of the other architecture one kernel; `cargo xtask vm --arch aarch64` boots all.
    &[Suite { name: "vm", runs: Runs::Whole, work: Work::Counted(vm::suite) }],
    &[
        Suite { name: "fuzz", runs: Runs::Whole, work: Work::Counted(fuzz::suite) },
        // Under the load that the fuzzers are: what it asserts are bytes and descriptors, not times.
        Suite {
            name: "soak",
            runs: Runs::AsRoot,
            work: Work::Tests(|| vec![tested("test", &["--test", "soak", "--", "--test-threads=1"])]),
        },
    ],
];

/// One row of the closing table.
struct Row {
    name: &'static str,
    count: Count,
    took: Duration,
    remark: String,
    /// What failed, by name.
    failures: Vec<String>,
}

impl Row {
    fn panicked(suite: &Suite) -> Self {
        let remark = "xtask panicked".to_owned();
        Row { name: suite.name, count: one(false), took: Duration::ZERO, remark, failures: Vec::new() }
    }
}

/// `only`: of those, these; none: all.
pub(crate) fn main(whole: bool, only: &[String]) -> Result<ExitCode> {
    let is_known = |name: &&String| SUITES.iter().flat_map(|row| *row).any(|suite| suite.name == name.as_str());
    if let Some(unknown) = only.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = SUITES.iter().flat_map(|row| *row).map(|suite| suite.name).collect();
        bail!("no suite {unknown}; there are {}", known.join(", "));
    }
    let is_chosen = |suite: &&Suite| {
        (whole || suite.runs == Runs::Always) && (only.is_empty() || only.iter().any(|name| name == suite.name))
    };
    setup::ensure()?;
    fs::create_dir_all(paths::workloads()).context("cannot make target/workloads")?;
    let mut rows = Vec::new();
    for together in SUITES {
        let chosen = together.iter().filter(is_chosen);
        thread::scope(|scope| {
            let started: Vec<_> = chosen.map(|suite| (suite, scope.spawn(|| row(suite)))).collect();
            rows.extend(started.into_iter().map(|(suite, run)| run.join().unwrap_or_else(|_| Row::panicked(suite))));
        });
    }
    let mut total = Count::default();
    println!("\n{:<12} {:>7} {:>7} {:>14}  remark", "suite", "passed", "failed", "time");
    for row in &rows {
        total.add(row.count);
        let Row { name, count, took, remark, .. } = row;
        println!("{name:<12} {:>7} {:>7} {:>14}  {remark}", count.passed, count.failed, human(*took));
    }
    for row in &rows {
        row.failures.iter().for_each(|failure| println!("failed: {} {failure}", row.name));
    }
    println!("logs: {}", paths::logs().display());
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn row(suite: &Suite) -> Row {
    println!("\n== {} ==", suite.name);
    let started = Instant::now();
    let mut failures = Vec::new();
    let (count, remark) = if suite.runs == Runs::AsRoot && !paths::is_root() {
        (one(false), "needs root (without it: cargo xtask ci --quick)".to_owned())
    } else {
        run(suite, &mut failures).unwrap_or_else(|error| (one(false), format!("{error:#}")))
    };
    Row { name: suite.name, count, took: started.elapsed(), remark, failures }
}

fn run(suite: &Suite, failures: &mut Vec<String>) -> Result<(Count, String)> {
    let mut log = File::create(proc::log_path(suite.name)?).context("cannot write the log")?;
    match &suite.work {
        Work::Check(commands) => {
            let mut failed = false;
            for mut command in commands() {
                failed |= !proc::stream(&mut command, &mut log, |_| ())?.success();
            }
            Ok((one(!failed), String::new()))
        }
        Work::Tidy => {
            let violations = tidy::check()?;
            violations.iter().for_each(|violation| println!("{violation}"));
            Ok((one(violations.is_empty()), format!("{} violations", violations.len())))
        }
        Work::Programs(make) => {
            make()?;
            Ok((one(true), String::new()))
        }
        Work::Counted(count) => {
            let (count, failed) = count()?;
            failures.extend(failed);
            Ok((count, String::new()))
        }
        Work::Tests(commands) => {
            let (mut count, mut remarks) = (Count::default(), Vec::new());
            for mut command in commands() {
                let mut tally = Tally::default();
                let succeeded = proc::stream(&mut command, &mut log, |line| tally.line(line))?.success();
                count.add(judge(&tally, succeeded, &mut remarks));
                failures.append(&mut tally.failures);
            }
            if count == Count::default() {
                remarks.push("no test was executed".to_owned());
                count.failed += 1;
            }
            Ok((count, remarks.join("; ")))
        }
    }
}

/// The count of one command; trouble that no test reported is a failure of its own.
fn judge(tally: &Tally, succeeded: bool, remarks: &mut Vec<String>) -> Count {
    let mut count = tally.total();
    if !succeeded && count.failed == 0 {
        remarks.push("did not build or ended early".to_owned());
        count.failed += 1;
    }
    for idle in tally.idle() {
        remarks.push(format!("{idle} executed no test"));
        count.failed += 1;
    }
    let counted = tally.binaries.iter().filter(|binary| binary.count != Count::default());
    remarks.extend(counted.map(|binary| format!("{} {}/{}", binary.name, binary.count.passed, binary.count.failed)));
    count
}

fn one(passed: bool) -> Count {
    Count { passed: passed.into(), failed: (!passed).into() }
}

fn cargo(args: &[&str]) -> Command {
    let mut cargo = proc::cargo();
    cargo.args(args);
    cargo
}

/// One test at a time: two observers on two cores would see each other's cost.
fn root() -> Vec<Command> {
    // The tests run the real binary, which cargo does not build for another package.
    let mut test = tested("test", &["--no-fail-fast"]);
    // Not by a pattern, which would take in those that are not among the others.
    for name in test_names().into_iter().filter(|name| name != "soak") {
        test.args(["--test", &name]);
    }
    test.args(["--", "--test-threads=1"]);
    vec![tested("build", &[dist::TESTED_PROGRAMS, dist::ONE_TEST].concat()), test]
}

/// Of `tests/tests`: a file or a directory each. Without any, cargo runs all there are.
fn test_names() -> Vec<String> {
    let entries = fs::read_dir(paths::root().join("tests/tests")).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.path().file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

/// A verb of our own with what others leave of the CPUs.
fn at_leisure(verb: &str) -> Command {
    let mut chrt = Command::new("chrt");
    chrt.args(["--idle", "0"]).arg(env::current_exe().unwrap_or_else(|_| "cargo-xtask".into())).arg(verb);
    chrt
}

/// Builds what the suites after `root` run.
pub(crate) fn build_later() -> Result<ExitCode> {
    fuzz::build()?;
    vm::build_programs()?;
    Ok(ExitCode::SUCCESS)
}

/// What is built once for this machine and for its guests.
fn tested(verb: &str, args: &[&str]) -> Command {
    let (mut cargo, output) = dist::cargo(verb, env::consts::ARCH, dist::TESTED);
    cargo.args(dist::TESTED_PACKAGES).args(args).env("MEMTRACE_BIN", output.join("memtrace"));
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_no_test_reported_still_counts() {
        let mut remarks = Vec::new();
        assert_eq!(judge(&Tally::default(), false, &mut remarks), Count { passed: 0, failed: 1 });
        assert_eq!(remarks, ["did not build or ended early"]);
    }

    #[test]
    fn every_test_has_a_name_that_cargo_knows() {
        let names = test_names();
        assert!(["agent", "cli", "soak"].iter().all(|name| names.iter().any(|known| known == name)), "{names:?}");
    }

    #[test]
    fn an_idle_integration_test_fails_its_suite() {
        let mut tally = Tally::default();
        tally.line("Running kernel/main.rs (/t/deps/kernel-1)");
        let mut remarks = Vec::new();
        assert_eq!(judge(&tally, true, &mut remarks).failed, 1);
        assert_eq!(remarks, ["kernel executed no test"]);
    }
}
