//! The command line: clap types, one file per verb. What was typed; what it means is in `config`.
mod doctor;
mod explain;
mod profile;
mod ps;
mod size;
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
    /// What this host allows, per probe, and what to do about what it does not
    Doctor(doctor::Doctor),
    /// What every byte of a process's RSS is, now, and who can give it back
    Explain(explain::Explain),
    /// Goroutines by state, wait reason, start function and creator
    Goroutines(profile::Profile),
    /// The heap profile of a process, read from outside: allocations by stack
    Heap(profile::Profile),
    /// Every Go process on the host: version, how it is read, RSS, heap, limits
    Ps(ps::Ps),
    /// The page-return ledger of a window, with the Go heap beside it
    Stat(stat::Stat),
    /// Events as they happen, one line each
    Trace(trace::Trace),
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
            Verb::Doctor(verb) => verb.run(),
            Verb::Explain(verb) => verb.run(),
            Verb::Goroutines(verb) => verb.run(ProfileOf::Goroutines),
            Verb::Heap(verb) => verb.run(ProfileOf::Heap),
            Verb::Ps(verb) => verb.run(),
            Verb::Stat(verb) => verb.run(),
            Verb::Trace(verb) => verb.run(),
        }
    }
}

/// Colour only for people: a terminal, and no NO_COLOR.
fn wants_color() -> bool {
    use std::io::IsTerminal as _;
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
