//! The workshop: everything that is done to this repository beyond `cargo build`.
//!
//! This file only dispatches. A new verb is one module, one `Verb` row and one `match` row.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod debian;
mod demo;
mod deploy;
mod dist;
mod engines;
mod fuzz;
mod image;
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
    Test {
        /// Only these suites, by the names of the closing table
        #[arg(value_name = "SUITE")]
        only: Vec<String>,
    },
    /// What CI runs; --quick leaves out what needs root or takes long
    Ci(ci::Args),
    /// Measure what memtrace costs, as ratios within one run (root)
    Bench(bench::Args),
    /// Fuzz every reader of untrusted bytes
    Fuzz(fuzz::Args),
    /// Build the test program with every release of Go in every build mode
    Matrix,
    /// Read the tables of Go's runtime from every release again
    Layouts(layouts::Args),
    /// Fetch the Go services of Debian, and the engines of PyPI, that the tests run
    Services,
    /// Fetch what checks deploy/
    Deploy(deploy::Args),
    /// Run the tests that need other kernels in virtual machines
    Vm(vm::Args),
    /// Check the import law and the size caps
    Tidy,
    /// Build what the last suites of `test` run: guests' programs, fuzz targets
    #[command(hide = true)]
    BuildLater,
    /// Build one fully static binary into target/dist
    Dist,
    /// Build the container image, an OCI layout in a tarball, into target/dist
    Image(image::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Setup(args) => setup::main(&args),
        Verb::Demo => demo::main(),
        Verb::Test { only } => suites::main(true, &only),
        Verb::Ci(args) => ci::main(&args),
        Verb::Bench(args) => bench::main(&args),
        Verb::Fuzz(args) => fuzz::main(&args),
        Verb::Matrix => matrix::main(),
        Verb::Layouts(args) => layouts::main(&args),
        Verb::Services => services::main(),
        Verb::Deploy(args) => deploy::main(&args),
        Verb::Vm(args) => vm::main(&args),
        Verb::Tidy => tidy::main(),
        Verb::BuildLater => suites::build_later(),
        Verb::Dist => dist::main(),
        Verb::Image(args) => image::main(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
