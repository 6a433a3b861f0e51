//! `cargo xtask ci`: the suites as CI wants them.

use std::process::ExitCode;

use anyhow::Result;

use crate::suites;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what the inner loop wants: no root, no live kernel, minutes
    #[arg(long)]
    quick: bool,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    suites::main(!args.quick, &[])
}
