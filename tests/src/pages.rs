//! The `pages` workload (`src/bin/pages`) under control of a test.
use crate::child::Child;
use crate::procfs;
use serde_json::Value;
use std::process::{Command, ExitStatus};

/// Where its pages begin.
pub const BASE: u64 = 0x1000_0000_0000;
pub const PAGE: u64 = 4096;
/// Pages in 2 MiB: a page-table page, a huge page, a chunk of marks.
pub const CHUNK: u64 = 512;

/// Idle between commands; ends when dropped.
#[derive(Debug)]
pub struct Pages {
    child: Child,
}

impl Pages {
    /// `binary`: `env!("CARGO_BIN_EXE_pages")`.
    #[track_caller]
    pub fn start(binary: &str, arguments: &[&str]) -> Self {
        Self::start_command(Command::new(binary).args(arguments))
    }

    #[track_caller]
    pub fn start_command(command: &mut Command) -> Self {
        let mut child = Child::start(command);
        let ready = child.line();
        let Some(ready) = ready else { panic!("pages did not start: {}", child.rest().1) };
        assert!(ready.contains("\"ready\":true"), "{ready}");
        let mut pages = Self { child };
        // The ways of the answers have been walked once: no fault of its own is left for the time of the test.
        pages.run("ping");
        pages
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// One command, whatever comes of it.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> Value {
        self.child.say(command);
        let answer = self.child.line().unwrap_or_else(|| panic!("pages ended in: {command}"));
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"));
        assert_ne!(answer["op"], "unknown", "pages does not know: {command}");
        answer
    }

    /// Commands that must all succeed.
    #[track_caller]
    pub fn all(&mut self, commands: &[&str]) {
        for command in commands {
            self.ok(command);
        }
    }

    /// A command that may have no answer.
    #[track_caller]
    pub fn say(&mut self, command: &str) {
        self.child.say(command);
    }

    /// A command, or `par` of several, that must succeed.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> Value {
        let answer = self.run(command);
        let all: Vec<&Value> = match answer.as_array() {
            Some(threads) => threads.iter().flat_map(|list| list.as_array().into_iter().flatten()).collect(),
            None => vec![&answer],
        };
        assert!(!all.is_empty(), "no thread did anything: {command}");
        for one in all {
            assert!(one["result"].as_i64().is_some_and(|result| result >= 0), "{command}: {one}");
        }
        answer
    }

    /// A command that must fail with this errno.
    #[track_caller]
    pub fn fails(&mut self, command: &str, errno: i32) {
        let answer = self.run(command);
        assert_eq!(answer["errno"], errno, "{command}: {answer}");
    }

    /// A command after which no answer comes: it ends.
    pub fn last(mut self, command: &str) -> ExitStatus {
        self.child.say(command);
        self.child.end()
    }

    pub fn signal(&mut self, signal: i32) {
        self.child.signal(signal);
    }

    pub fn end(mut self) -> ExitStatus {
        self.child.close_stdin();
        self.child.end()
    }

    /// Pages of the range mapped to memory, by pagemap; the zero page counts.
    #[track_caller]
    pub fn resident(&self, first: u64, pages: u64) -> u64 {
        procfs::resident_pages(self.pid(), BASE + first * PAGE, pages)
    }

    /// RSS by page tables.
    #[track_caller]
    pub fn rss(&self) -> u64 {
        procfs::rss_bytes(self.pid())
    }

    /// By how much RSS fell through these commands, in pages.
    #[track_caller]
    pub fn fall(&mut self, commands: &[&str]) -> i64 {
        let before = self.rss() as i64;
        self.all(commands);
        (before - self.rss() as i64) / PAGE as i64
    }
}
