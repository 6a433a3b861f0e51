//! The Go workload `truth` (tests/workloads/truth) under control of a test.
use crate::child::Child;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Built by `cargo xtask test`.
pub fn truth_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/workloads/truth");
    assert!(path.exists(), "{} is missing: cargo xtask test builds it", path.display());
    path
}

/// Idle between commands; ends when dropped.
#[derive(Debug)]
pub struct Truth {
    child: Child,
    pub go_version: String,
}

impl Truth {
    #[track_caller]
    pub fn start(binary: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command.env_remove("GODEBUG").env_remove("GOGC").env_remove("GOMEMLIMIT").env_remove("GOMAXPROCS");
        let mut child = Child::start(command.envs(environment.iter().copied()));
        let ready = child.line();
        let Some(ready) = ready else { panic!("truth did not start: {}", child.rest().1) };
        let ready: Value = serde_json::from_str(&ready).expect("JSON");
        let go_version = ready["go_version"].as_str().expect("a version").to_owned();
        Self { child, go_version }
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    #[track_caller]
    pub fn run(&mut self, command: &str) -> Value {
        self.child.say(command);
        let answer = self.child.line().unwrap_or_else(|| panic!("truth ended in: {command}"));
        let answer: Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"));
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer
    }

    #[track_caller]
    pub fn all(&mut self, commands: &[&str]) {
        for command in commands {
            self.run(command);
        }
    }

    /// A read from outside between two equal `memstats`: only then is it known what it should have found.
    #[track_caller]
    pub fn compare<T>(&mut self, mut read: impl FnMut() -> T) -> (Value, T) {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let before = self.run("memstats");
            let read = read();
            if self.run("memstats") == before {
                return (before, read);
            }
        }
        panic!("truth does not come to rest");
    }

    #[track_caller]
    pub fn signal(&mut self, signal: i32) {
        self.child.signal(signal);
    }

    /// Its sudden end.
    #[track_caller]
    pub fn kill(mut self) -> std::process::ExitStatus {
        self.signal(libc::SIGKILL);
        self.child.end()
    }

    pub fn last(mut self, command: &str) -> std::process::ExitStatus {
        self.child.say(command);
        self.child.end()
    }
}
