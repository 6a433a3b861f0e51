//! The workshop: everything that is done to this repository beyond `cargo build`.
//!
//! This file only dispatches. A new verb is one module, one `Verb` row and one `match` row.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod debian;
mod demo;
mod dist;
mod fuzz;
mod layouts;
mod matrix;
mod paths;
mod proc;
mod progress;
mod services;
mod setup;
mod suites;
mod tally;
mod tidy;
mod toolchains;
mod vm;
mod workloads;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Set up, show, test and release memtrace", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building and testing need (idempotent)
    Setup(setup::Args),
    /// Trace a small Go service for 15 s and print its page-return ledger (root)
    Demo,
    /// Run every suite this machine can run; non-zero when anything fails (root)
    Test,
    /// What CI runs; --quick leaves out the suites that need root
    Ci(ci::Args),
    /// Measure what memtrace costs, as ratios within one run (root)
    Bench(bench::Args),
    /// Fuzz every reader of untrusted bytes
    Fuzz(fuzz::Args),
    /// Build the test program with every release of Go in every build mode
    Matrix,
    /// Read the tables of Go's runtime from every release again
    Layouts(layouts::Args),
    /// Fetch the Go services of Debian that the tests run
    Services,
    /// Run the tests that need other kernels in virtual machines
    Vm(vm::Args),
    /// Check the import law and the size caps
    Tidy,
    /// Build one fully static binary into target/dist
    Dist,
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Setup(args) => setup::main(&args),
        Verb::Demo => demo::main(),
        Verb::Test => suites::main(true),
        Verb::Ci(args) => ci::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Fuzz(args) => fuzz::main(&args),
        Verb::Matrix => matrix::main(),
        Verb::Layouts(args) => layouts::main(&args),
        Verb::Services => services::main(),
        Verb::Vm(args) => vm::main(&args),
        Verb::Tidy => tidy::main(),
        Verb::Dist => dist::main(),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
