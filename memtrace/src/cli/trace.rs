use super::targets::SessionArgs;
use crate::config;
use crate::config::size::parse_bytes;
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
    Pressure,
}

impl Family {
    fn bit(self) -> u32 {
        1 << match self {
            Family::Map => kind::MAP,
            Family::Advise => kind::ADVISE,
            Family::Oom => kind::OOM,
            Family::Reclaim => kind::RECLAIM,
            Family::Task => kind::TASK,
            Family::Pressure => kind::PRESSURE,
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
    pub(super) fn config(self) -> Result<config::Trace, Error> {
        let families = match self.family.as_slice() {
            [] => u32::MAX,
            some => some.iter().fold(0, |bits, f| bits | f.bit()),
        };
        let session = self.session.session()?;
        Ok(config::Trace { session, families, min_bytes: self.min_bytes, stacks: self.stack })
    }

    pub(super) fn run(self) -> Result<ExitCode, Error> {
        pipeline::trace(self.config()?, std::io::BufWriter::new(std::io::stdout()))
    }
}
