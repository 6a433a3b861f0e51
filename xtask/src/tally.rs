//! Reads what `cargo test` prints and sums it up.

/// Passed and failed of one table row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// One test binary of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) count: Count,
    /// An integration test, which exists to run tests; a library may have none.
    must_run: bool,
}

/// The binaries seen so far; feed it every line.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) binaries: Vec<Binary>,
    /// Their tests that failed.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(running) = line.strip_prefix("Running ") {
            let must_run = !running.starts_with("unittests ");
            let path = running.trim_start_matches("unittests ");
            // `tests/prop_decode.rs (target/debug/deps/prop_decode-0123)`: the binary's name says most.
            let name = path.rsplit_once('(').map_or(path, |(_, binary)| binary.trim_end_matches(')'));
            let name = name.rsplit('/').next().unwrap_or(name);
            let name = name.rsplit_once('-').map_or(name, |(stem, _)| stem);
            self.binaries.push(Binary { name: name.to_owned(), count: Count::default(), must_run });
        } else if let Some(documented) = line.strip_prefix("Doc-tests ") {
            let name = format!("{documented} (doc)");
            self.binaries.push(Binary { name, count: Count::default(), must_run: false });
        } else if let Some(test) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            let binary = self.binaries.last().map_or("tests", |binary| &binary.name);
            self.failures.push(format!("{binary} {test}"));
        } else if let Some(result) = line.strip_prefix("test result: ") {
            let count = Count { passed: number_before(result, " passed"), failed: number_before(result, " failed") };
            match self.binaries.last_mut() {
                Some(binary) => binary.count.add(count),
                None => self.binaries.push(Binary { name: "tests".to_owned(), count, must_run: true }),
            }
        }
    }

    pub(crate) fn total(&self) -> Count {
        let mut total = Count::default();
        for binary in &self.binaries {
            total.add(binary.count);
        }
        total
    }

    /// Integration tests that executed nothing.
    pub(crate) fn idle(&self) -> impl Iterator<Item = &str> {
        self.binaries
            .iter()
            .filter(|binary| binary.must_run && binary.count == Count::default())
            .map(|binary| binary.name.as_str())
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split(word).next().unwrap_or_default();
    before.rsplit([' ', ';']).next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally
    }

    #[test]
    fn results_are_summed_per_binary() {
        let tally = tally(
            "     Running unittests src/lib.rs (/t/debug/deps/memtrace-0a1b)\nrunning 0 tests\n\
             test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \x20    Running kernel/main.rs (/t/release/deps/kernel-9f)\n\
             test busy::one ... ok\ntest busy::other ... FAILED\n\
             test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.1s\n\
             \x20  Doc-tests memtrace\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s",
        );
        assert_eq!(tally.total(), Count { passed: 14, failed: 3 });
        let names: Vec<_> = tally.binaries.iter().map(|binary| binary.name.as_str()).collect();
        assert_eq!(names, ["memtrace", "kernel", "memtrace (doc)"]);
        assert_eq!(tally.failures, ["kernel busy::other"]);
        assert_eq!(tally.idle().count(), 0);
    }

    #[test]
    fn an_integration_test_that_ran_nothing_is_idle() {
        let tally = tally("Running go/main.rs (/t/release/deps/go-9f)\ntest result: ok. 0 passed; 0 failed; 5 ignored");
        assert_eq!(tally.idle().collect::<Vec<_>>(), ["go"]);
    }
}
