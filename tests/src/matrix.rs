//! The Go workload `matrix` (tests/workloads/matrix), by every release in every build mode, under control of a test.
mod stopped;

use crate::child::Child;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

pub use stopped::differences_at_each_step;

pub const RELEASES: &[&str] = &["1.19.8", "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];

/// Built by `cargo xtask matrix`.
#[track_caller]
pub fn built(release: &str, variant: &str) -> PathBuf {
    there(&format!("{release}/{variant}/program"))
}

/// A C program that loads the library which is its argument.
#[track_caller]
pub fn host() -> PathBuf {
    there("host")
}

#[track_caller]
fn there(program: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/matrix").join(program);
    assert!(program.exists(), "{} is missing: cargo xtask matrix builds it", program.display());
    program
}

#[track_caller]
pub fn start(command: &mut Command) -> Child {
    for inherited in ["GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"] {
        command.env_remove(inherited);
    }
    let mut program = Child::start(command);
    let ready = program.line();
    assert!(ready.is_some(), "{command:?} did not start: {}", program.rest().1);
    program
}

/// One command, which must succeed.
#[track_caller]
pub fn run(program: &mut Child, command: &str) -> Value {
    program.say(command);
    let answer = program.line().unwrap_or_else(|| panic!("ended in: {command}"));
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{command}: {error}: {answer}"));
    assert!(answer["error"].is_null(), "{command}: {answer}");
    answer
}
