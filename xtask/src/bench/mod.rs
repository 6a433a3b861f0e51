//! `cargo xtask bench`: what the product costs, as ratios within one run.

mod load;
mod probes;
mod report;
mod ring;
mod samples;
mod tracer;

use std::process::ExitCode;

use anyhow::Result;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What a traced process, its neighbours and the ring pay for the probes (5 to 10 minutes)
    Probes(probes::Args),
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Probes(args) => probes::main(args),
    }
}
