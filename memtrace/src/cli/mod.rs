//! The command line: clap types, one file per verb. What was typed; what it means is in `config`.
mod agent;
mod black_box;
mod cgroup;
mod doctor;
mod explain;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod oom;
mod profile;
mod ps;
#[cfg(feature = "record")]
mod record;
mod stat;
mod targets;
mod trace;

use crate::config::ProfileOf;
use crate::error::Error;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Page truth for Go: how much memory a process gave back, how much the kernel really took, how much came straight back.
#[derive(Debug, Parser)]
#[command(name = "memtrace", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Say more on stderr (twice: everything)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run for long: the black box of watch-oom, and what is known of every process now over HTTP, for Prometheus too
    Agent(agent::Agent),
    /// What a container is charged for, how far that is from its limit, and why it is not the RSS of its processes
    Cgroup(cgroup::Cgroup),
    /// What this host allows, per probe, and what to do about what it does not
    Doctor(doctor::Doctor),
    /// What every byte of a process's RSS is, now, and who can give it back
    Explain(explain::Explain),
    /// Goroutines by state, wait reason, start function and creator
    Goroutines(profile::Profile),
    /// The heap profile of a process, read from outside: allocations by stack
    Heap(profile::Profile),
    /// Deaths that were written down: `memtrace oom` lists them, `memtrace oom show ID` shows one
    Oom(oom::Oom),
    /// Every Go process on the host: version, how it is read, RSS, heap, limits
    Ps(ps::Ps),
    /// Write down what is known of processes over time, as Parquet, for any engine that reads it
    #[cfg(feature = "record")]
    Record(record::Record),
    /// What a recording holds
    #[cfg(feature = "record")]
    Replay(record::Replay),
    /// The page-return ledger of a window, with the Go heap beside it
    Stat(stat::Stat),
    /// Events as they happen, one line each
    Trace(trace::Trace),
    /// Watch processes, and write down why they die: a dossier of every OOM kill
    WatchOom(oom::WatchOom),
}

impl Cli {
    /// What was typed; ends the process with code 2 when that makes no sense, or after `--help`.
    pub fn from_arguments() -> Self {
        Self::parse()
    }

    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Runs the verb; the exit code is 0, the command's own, or the doctor's 3.
    pub fn run(self) -> Result<ExitCode, Error> {
        match self.verb {
            Verb::Agent(verb) => verb.run(),
            Verb::Cgroup(verb) => verb.run(),
            Verb::Doctor(verb) => verb.run(),
            Verb::Explain(verb) => verb.run(),
            Verb::Goroutines(verb) => verb.run(ProfileOf::Goroutines),
            Verb::Heap(verb) => verb.run(ProfileOf::Heap),
            Verb::Oom(verb) => verb.run(),
            Verb::Ps(verb) => verb.run(),
            #[cfg(feature = "record")]
            Verb::Record(verb) => verb.run(),
            #[cfg(feature = "record")]
            Verb::Replay(verb) => verb.run(),
            Verb::Stat(verb) => verb.run(),
            Verb::Trace(verb) => verb.run(),
            Verb::WatchOom(verb) => verb.run(),
        }
    }
}

/// Colour only for people: a terminal, and no NO_COLOR.
fn wants_color() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
