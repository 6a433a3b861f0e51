//! `cargo xtask ci`: the suites as CI wants them.

use std::process::ExitCode;

use anyhow::Result;

use crate::suites;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what needs neither root nor a live kernel
    #[arg(long)]
    quick: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    suites::main(!args.quick)
}
