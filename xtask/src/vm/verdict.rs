//! What guests say on their consoles, read and tabulated.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::progress::human;
use crate::tally::Count;

/// The kernel will not come back from these.
const MARKERS: &[&str] =
    &["Kernel panic", "BUG: soft lockup", "watchdog: BUG:", "rcu_preempt self-detected stall", "double fault:"];
const KERNEL: &str = "### kernel ";
const OK: &str = "### ok ";
const FAILED: &str = "### failed ";
const NOTE: &str = "### note ";
const END: &str = "### end";

/// What became of one machine.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) name: String,
    /// Its release, as the guest says; empty before that.
    pub(super) kernel: String,
    /// By test; `Err` has the reason.
    verdicts: BTreeMap<String, Result<(), String>>,
    /// What there is to say of the kernel.
    pub(super) notes: Vec<String>,
    /// What kept it from saying all.
    pub(super) trouble: Option<String>,
    pub(super) took: Duration,
}

impl Report {
    pub(super) fn read(name: &str, said: &str) -> Self {
        let mut verdicts = BTreeMap::new();
        let mut notes: Vec<String> = Vec::new();
        for line in said.lines().map(str::trim) {
            if let Some(test) = line.strip_prefix(OK) {
                // A test that has failed once has failed.
                verdicts.entry(test.to_owned()).or_insert(Ok(()));
            } else if let Some(note) = line.strip_prefix(NOTE) {
                notes.push(note.to_owned());
            } else if let Some((test, why)) = line.strip_prefix(FAILED).and_then(|rest| rest.split_once(": ")) {
                verdicts.insert(test.to_owned(), Err(why.to_owned()));
            }
        }
        let ended = said.lines().any(|line| line.trim() == END);
        let trouble = hung(said).or_else(|| (!ended).then(|| "it ended before its tests did".to_owned()));
        let kernel = said.lines().find_map(|line| line.trim().strip_prefix(KERNEL)).unwrap_or_default().to_owned();
        Self { name: name.to_owned(), kernel, verdicts, notes, trouble, took: Duration::ZERO }
    }

    /// With what another boot of the same kernel said.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.verdicts.extend(other.verdicts);
        self.notes.extend(other.notes);
        self.trouble = self.trouble.or(other.trouble);
        self.took += other.took;
        self
    }

    /// How many of these tests have passed and failed; no verdict is a failure, and so is trouble after the last one.
    pub(super) fn count(&self, tests: &[String]) -> Count {
        let passed = tests.iter().filter(|test| self.verdicts.get(*test) == Some(&Ok(()))).count();
        let failed = (tests.len() - passed).max(usize::from(self.trouble.is_some()));
        Count { passed: passed as u64, failed: failed as u64 }
    }

    /// What did not pass, and why; a line each.
    pub(super) fn failures(&self, tests: &[String]) -> Vec<String> {
        let Self { name, trouble, verdicts, .. } = self;
        let trouble = trouble.iter().map(|trouble| format!("{name}: {trouble} (log: target/xtask/{name}.log)"));
        let failed = tests.iter().filter_map(|test| match verdicts.get(test) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(format!("{name} {test}: {why}")),
            None => self.trouble.is_none().then(|| format!("{name} {test}: said nothing")),
        });
        trouble.chain(failed).collect()
    }

    /// The last part of its name.
    fn series(&self) -> &str {
        self.name.rsplit('-').next().unwrap_or_default()
    }

    pub(super) fn word(&self, test: &str) -> &'static str {
        match self.verdicts.get(test) {
            Some(Ok(())) => "ok",
            Some(Err(_)) => "FAILED",
            None => "missing",
        }
    }
}

/// The line that tells of a kernel's death.
pub(super) fn hung(said: &str) -> Option<String> {
    let line = said.lines().find(|line| MARKERS.iter().any(|marker| line.contains(marker)))?;
    Some(line.trim().to_owned())
}

/// Tests by kernels; below it why each that failed did.
pub(super) fn table(tests: &[String], reports: &[Report]) -> String {
    let width = tests.iter().map(String::len).max().unwrap_or_default();
    let mut text = format!("\n{:<width$}", "test");
    for report in reports {
        let _ = write!(text, "  {:<8}", report.series());
    }
    for test in tests {
        let _ = write!(text, "\n{test:<width$}");
        for report in reports {
            let _ = write!(text, "  {:<8}", report.word(test));
        }
    }
    let _ = write!(text, "\n{:<width$}", "time");
    for report in reports {
        let _ = write!(text, "  {:<8}", human(report.took));
    }
    text.push_str("\n\n");
    for line in reports.iter().flat_map(|report| report.failures(tests)) {
        let _ = writeln!(text, "{line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn verdicts_are_read_among_other_lines_and_a_missing_one_is_a_failure() {
        let said =
            "SeaBIOS\r\n[    1.2] random: crng\r\n\r\n### ok one\r\n### failed two: 3 pages: not 4\r\n### end\r\n";
        let report = Report::read("vm-6.1", said);
        assert_eq!(report.verdicts["one"], Ok(()));
        assert_eq!(report.verdicts["two"], Err("3 pages: not 4".to_owned()));
        assert_eq!(report.trouble, None);
        assert_eq!(report.count(&names(&["one", "two", "three"])), Count { passed: 1, failed: 2 });
        let table = table(&names(&["one", "two", "three"]), &[report]);
        for row in ["one    ok", "two    FAILED", "three  missing", "vm-6.1 two: 3 pages: not 4"] {
            assert!(table.contains(row), "{table}");
        }
    }

    #[test]
    fn a_test_that_failed_once_stays_failed() {
        for said in ["### failed a: b\n### ok a\n### end", "### ok a\n### failed a: b\n### end"] {
            assert_eq!(Report::read("vm", said).count(&names(&["a"])).failed, 1, "{said}");
        }
    }

    #[test]
    fn panics_lockups_and_an_early_end_are_told() {
        let trouble = |said: &str| Report::read("vm", said).trouble.unwrap_or_default();
        assert!(trouble("### ok a\n[ 9.1] Kernel panic - not syncing: x\n").contains("not syncing: x"));
        assert!(trouble("[ 30.2] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!\n").contains("CPU#1"));
        assert_eq!(trouble("### ok a\n"), "it ended before its tests did");
        assert_eq!(Report::read("vm", "### ok a\n").count(&names(&["a"])), Count { passed: 1, failed: 1 });
    }
}
