use super::size::parse_duration;
use super::targets::SessionArgs;
use crate::config;
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
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let config = config::Stat { session: self.session.session()?, interval: self.interval, stacks: self.stack };
        pipeline::stat(config, std::io::BufWriter::new(std::io::stdout()))
    }
}
