//! The real binary in trouble: killed, stopped, without output, without rights, with things taken away from under it.
//! Its target never notices, nothing stays attached, and what is missing is said.
mod cgroup;
mod churn;
mod output;
mod rights;
mod signals;
mod target;
mod tracefs;

use memtrace_tests::matrix::{built, start};
use memtrace_tests::{Child, Ended, Memtrace, Pages};
use std::process::Command;

const PAGES: &str = env!("CARGO_BIN_EXE_pages");
const FAILED: i32 = 1;
const HOST: i32 = 3;
const NO_TARGET: i32 = 4;

fn pages(arguments: &[&str]) -> Pages {
    Pages::start(PAGES, arguments)
}

/// A Go program with goroutines and a heap profile, which it writes to nowhere.
fn profiled() -> Child {
    start(Command::new(built("1.26.6", "profiled")).args(["/dev/null"; 2]))
}

/// `memtrace` by way of another command, which becomes it.
fn through(way: &[&str], arguments: &[&str]) -> Memtrace {
    let (first, rest) = way.split_first().expect("a command");
    Memtrace::start_command(Command::new(first).args(rest).arg(Memtrace::path()).args(arguments))
}

/// `memtrace` whose streams a shell has put elsewhere: `>FILE`, `>&-`.
fn redirected(redirection: &str, arguments: &[&str]) -> Memtrace {
    through(&["/bin/sh", "-c", &format!("exec \"$0\" \"$@\" {redirection}")], arguments)
}

/// Ended with this code and this one line on stderr.
#[track_caller]
fn assert_says(ended: &Ended, code: i32, line: &str) {
    assert_eq!(
        (ended.code(), ended.stderr.as_str()),
        (Some(code), format!("memtrace: {line}\n").as_str()),
        "{ended:?}"
    );
}
