//! `docs/kernels.md`, out of a run of all tests on all kernels.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use super::arch::Arch;
use super::verdict::Report;
use crate::paths;

const HEAD: &str = "# Kernels\n\nWritten by `cargo xtask vm`, which boots each of these kernels in a virtual machine and runs the \
    tests of\n`tests/src/bin/vm_guest` there. They are counted work: `ok` means that every figure was exact.\n";

/// The section of one architecture; those of the others stay as they are.
pub(super) fn write(arch: Arch, tests: &[String], reports: &[Report]) -> Result<()> {
    let path = paths::root().join("docs/kernels.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let sections = Arch::ALL.map(|one| match section(&before, one) {
        _ if one == arch => format!("{}{}", heading(one), text(tests, reports)),
        Some(section) => format!("{}{section}", heading(one)),
        None => String::new(),
    });
    fs::write(&path, format!("{HEAD}{}", sections.concat())).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether the section of an architecture is of these tests.
pub(super) fn check(arch: Arch, tests: &[String]) -> Result<()> {
    let text = fs::read_to_string(paths::root().join("docs/kernels.md")).context("no docs/kernels.md")?;
    let section = section(&text, arch).unwrap_or_default();
    let written: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next()).skip(1).collect();
    if !written.iter().eq(tests.iter().map(|test| row_name(test)).collect::<Vec<_>>().iter()) {
        bail!("docs/kernels.md is of other tests: cargo xtask vm --arch {} writes it", arch.name());
    }
    Ok(())
}

fn row_name(test: &str) -> String {
    test.replace('_', " ")
}

fn heading(arch: Arch) -> String {
    format!("\n## {}\n", arch.name())
}

/// What is below the heading of an architecture.
fn section(all: &str, arch: Arch) -> Option<&str> {
    let (_, below) = all.split_once(&heading(arch))?;
    Some(below.split_once("\n## ").map_or(below, |(section, _)| section))
}

fn text(tests: &[String], reports: &[Report]) -> String {
    let mut text = "\n| test |".to_owned();
    for report in reports {
        let _ = write!(text, " {} |", report.kernel);
    }
    let _ = write!(text, "\n|---|{}", "---|".repeat(reports.len()));
    for test in tests {
        let _ = write!(text, "\n| {} |", row_name(test));
        for report in reports {
            let _ = write!(text, " {} |", report.word(test));
        }
    }
    text.push_str(
        "\n\nWhat `memtrace doctor` says there of each probe that is not `ok`, and what memtrace costs others:\n",
    );
    for report in reports {
        let _ = writeln!(text, "\n{}:\n", report.kernel);
        report.notes.iter().for_each(|note| {
            let _ = writeln!(text, "- {note}");
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_one_architecture_leaves_the_table_of_another() {
        let all = format!("{HEAD}{}\nours\n{}\ntheirs\n", heading(Arch::X86_64), heading(Arch::Aarch64));
        assert_eq!(section(&all, Arch::X86_64), Some("\nours\n"));
        assert_eq!(section(&all, Arch::Aarch64), Some("\ntheirs\n"));
        assert_eq!(section(HEAD, Arch::X86_64), None);
    }

    #[test]
    fn tests_by_kernels_and_what_is_to_be_said_of_them() {
        let said = "### kernel 5.10.0-32\n### note `one` is unsupported\n### ok a_test\n### end";
        let report = Report::read("vm-5.10", said);
        let text = text(&["a_test".to_owned(), "another".to_owned()], &[report]);
        let rows = [
            "| test | 5.10.0-32 |",
            "| a test | ok |",
            "| another | missing |",
            "\n5.10.0-32:\n\n- `one` is unsupported\n",
        ];
        rows.iter().for_each(|row| assert!(text.contains(row), "{text}"));
    }
}
