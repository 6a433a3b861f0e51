use super::targets::SessionArgs;
use crate::config;
use crate::config::size::parse_duration;
use crate::error::Error;
use crate::pipeline;
use clap::Args;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(override_usage = "memtrace stat [OPTIONS] <-p PID | -c CGROUP | --comm GLOB | --exe GLOB | -a | -- CMD...>")]
pub(super) struct Stat {
    #[command(flatten)]
    session: SessionArgs,
    /// Print a line per process every so often (1, 500ms)
    #[arg(short, long, value_parser = parse_duration)]
    interval: Option<Duration>,
    /// Name in the end report who made the anonymous mappings; takes the user stack of each memory call
    #[arg(long)]
    stack: bool,
}

impl Stat {
    pub(super) fn config(self) -> Result<config::Stat, Error> {
        Ok(config::Stat { session: self.session.session()?, interval: self.interval, stacks: self.stack })
    }

    pub(super) fn run(self) -> Result<ExitCode, Error> {
        pipeline::stat(self.config()?, std::io::BufWriter::new(std::io::stdout()))
    }
}
