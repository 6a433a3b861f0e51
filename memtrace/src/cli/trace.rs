use super::size::parse_bytes;
use super::targets::SessionArgs;
use crate::config;
use crate::error::Error;
use crate::pipeline;
use clap::{Args, ValueEnum};
use memtrace_common::kind;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    Map,
    Advise,
    Oom,
    Reclaim,
    Task,
}

impl Family {
    fn bit(self) -> u32 {
        1 << match self {
            Family::Map => kind::MAP,
            Family::Advise => kind::ADVISE,
            Family::Oom => kind::OOM,
            Family::Reclaim => kind::RECLAIM,
            Family::Task => kind::TASK,
        }
    }
}

#[derive(Debug, Args)]
#[command(override_usage = "memtrace trace [OPTIONS] <-p PID | -c CGROUP | --comm GLOB | --exe GLOB | -a | -- CMD...>")]
pub(super) struct Trace {
    #[command(flatten)]
    session: SessionArgs,
    /// Only these families (all by default)
    #[arg(long, value_name = "FAMILY", value_delimiter = ',')]
    family: Vec<Family>,
    /// Leave out memory calls shorter than this (64k, 4MiB)
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "0")]
    min_bytes: u64,
    /// Show the call site: the user stack, symbolised
    #[arg(long)]
    stack: bool,
}

impl Trace {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let families = match self.family.as_slice() {
            [] => u32::MAX,
            some => some.iter().fold(0, |bits, f| bits | f.bit()),
        };
        let session = self.session.session()?;
        let config = config::Trace { session, families, min_bytes: self.min_bytes, stacks: self.stack };
        pipeline::trace(config, std::io::BufWriter::new(std::io::stdout()))
    }
}
