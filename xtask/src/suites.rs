//! `cargo xtask test`: every suite in order, all of them run, one table and one plain line at the end.

use std::fs::{self, File};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::progress::human;
use crate::tally::{Count, Tally};
use crate::{layouts, matrix, paths, proc, services, setup, tidy, workloads};

/// What a suite does; commands of one suite are counted together.
enum Work {
    /// Passes or fails as one.
    Check(fn() -> Vec<Command>),
    Tidy,
    /// Makes programs that the root suites run, or checks what was made of them.
    Programs(fn() -> Result<()>),
    /// `cargo test` commands, counted by test.
    Tests(fn() -> Vec<Command>),
}

struct Suite {
    name: &'static str,
    needs_root: bool,
    work: Work,
}

const SUITES: &[Suite] = &[
    Suite { name: "fmt", needs_root: false, work: Work::Check(|| vec![cargo(&["fmt", "--all", "--check"])]) },
    Suite { name: "tidy", needs_root: false, work: Work::Tidy },
    Suite {
        name: "clippy",
        needs_root: false,
        work: Work::Check(|| vec![cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])]),
    },
    Suite {
        name: "unit",
        needs_root: false,
        work: Work::Tests(|| {
            // The eBPF crate alone: with the others, features that only user space wants would reach it.
            vec![cargo(&["test", "--no-fail-fast"]), cargo(&["test", "--no-fail-fast", "-p", "memtrace-ebpf"])]
        }),
    },
    Suite { name: "workloads", needs_root: false, work: Work::Check(|| vec![workloads::build("./...")]) },
    // Only the root suites run them; the first time they take minutes.
    Suite { name: "matrix", needs_root: true, work: Work::Programs(matrix::build) },
    // By the toolchains of the matrix.
    Suite { name: "layouts", needs_root: true, work: Work::Programs(layouts::check) },
    Suite { name: "services", needs_root: true, work: Work::Programs(services::fetch) },
    Suite {
        name: "root",
        needs_root: true,
        // One test at a time: two observers on two cores would see each other's cost.
        work: Work::Tests(|| {
            let release = ["test", "-p", "memtrace-tests", "--release", "--no-fail-fast", "--", "--test-threads=1"];
            // The tests run the real binary, which cargo does not build for another package.
            vec![cargo(&["build", "--release", "-p", "memtrace"]), cargo(&release)]
        }),
    },
];

/// One row of the closing table.
struct Row {
    name: String,
    count: Count,
    took: Duration,
    remark: String,
}

pub(crate) fn main(with_root_suites: bool) -> Result<ExitCode> {
    setup::ensure()?;
    fs::create_dir_all(paths::workloads()).context("cannot make target/workloads")?;
    let mut rows = Vec::new();
    for suite in SUITES.iter().filter(|suite| with_root_suites || !suite.needs_root) {
        println!("\n== {} ==", suite.name);
        let started = Instant::now();
        let (count, remark) = if suite.needs_root && !paths::is_root() {
            (Count { passed: 0, failed: 1 }, "needs root (without it: cargo xtask ci --quick)".to_owned())
        } else {
            run(suite).unwrap_or_else(|error| (Count { passed: 0, failed: 1 }, format!("{error:#}")))
        };
        rows.push(Row { name: suite.name.to_owned(), count, took: started.elapsed(), remark });
    }
    let mut total = Count::default();
    println!("\n{:<12} {:>7} {:>7} {:>14}  remark", "suite", "passed", "failed", "time");
    for row in &rows {
        total.add(row.count);
        let Row { name, count, took, remark } = row;
        println!("{name:<12} {:>7} {:>7} {:>14}  {remark}", count.passed, count.failed, human(*took));
    }
    println!("logs: {}", paths::logs().display());
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(suite: &Suite) -> Result<(Count, String)> {
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
        Work::Tests(commands) => {
            let (mut count, mut remarks) = (Count::default(), Vec::new());
            for mut command in commands() {
                let mut tally = Tally::default();
                let succeeded = proc::stream(&mut command, &mut log, |line| tally.line(line))?.success();
                count.add(judge(&tally, succeeded, &mut remarks));
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
    fn an_idle_integration_test_fails_its_suite() {
        let mut tally = Tally::default();
        tally.line("Running kernel/main.rs (/t/deps/kernel-1)");
        let mut remarks = Vec::new();
        assert_eq!(judge(&tally, true, &mut remarks).failed, 1);
        assert_eq!(remarks, ["kernel executed no test"]);
    }
}
