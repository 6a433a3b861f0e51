//! `docs/kernels.md`, out of a run of all tests on all kernels.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::kernels::Kernel;
use super::verdict::Report;
use crate::paths;

const HEAD: &str = "# Kernels\n\nWritten by `cargo xtask vm`, which boots each of these kernels in a virtual machine and runs the \
    tests of\n`tests/src/bin/vm_guest` there. They are counted work: `ok` means that every figure was exact.\n";

pub(super) fn write(kernels: &[Kernel], tests: &[String], reports: &[Report]) -> Result<()> {
    let path = paths::root().join("docs/kernels.md");
    fs::write(&path, text(kernels, tests, reports)).with_context(|| format!("cannot write {}", path.display()))
}

fn text(kernels: &[Kernel], tests: &[String], reports: &[Report]) -> String {
    let mut text = format!("{HEAD}\n| test |");
    for report in reports {
        let _ = write!(text, " {} |", report.kernel);
    }
    let _ = write!(text, "\n|---|{}", "---|".repeat(reports.len()));
    for test in tests {
        let _ = write!(text, "\n| {} |", test.replace('_', " "));
        for report in reports {
            let _ = write!(text, " {} |", report.word(test));
        }
    }
    text.push_str("\n\nWhat `memtrace doctor` says there of each probe, wherever it is not `ok`:\n\n");
    let mut all_ok = true;
    for kernel in kernels {
        for (probe, verdict) in kernel.probes.iter().filter(|(_, verdict)| *verdict != "ok") {
            let _ = writeln!(text, "- {}: `{probe}` is {verdict}", kernel.series);
            all_ok = false;
        }
    }
    if all_ok {
        text.push_str("- no kernel: all probes are `ok` on all of them\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels;

    #[test]
    fn tests_by_kernels_and_what_is_not_ok() {
        let mut kernels = kernels::read().unwrap();
        kernels[0].probes.insert("one".to_owned(), "unsupported".to_owned());
        let report = Report::read("vm-5.10", "### kernel 5.10.0-32\n### ok a_test\n### end");
        let text = text(&kernels, &["a_test".to_owned(), "another".to_owned()], &[report]);
        let rows =
            ["| test | 5.10.0-32 |", "| a test | ok |", "| another | missing |", "- 5.10: `one` is unsupported\n"];
        rows.iter().for_each(|row| assert!(text.contains(row), "{text}"));
    }
}
