use super::targets::FormatArg;
use crate::config::CgroupOf;
use crate::error::Error;
use crate::pipeline;
use crate::sink::text::Style;
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// Of neither: memtrace's own.
#[derive(Debug, Args)]
pub(super) struct Cgroup {
    /// The cgroup: its directory, or its path as /proc/PID/cgroup says it
    #[arg(short, long, value_name = "CGROUP_PATH", conflicts_with = "pid")]
    cgroup: Option<PathBuf>,
    /// The cgroup that this process is in
    #[arg(short, long, value_name = "PID")]
    pid: Option<u32>,
    #[command(flatten)]
    format: FormatArg,
}

impl Cgroup {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let mut out = io::BufWriter::new(io::stdout());
        let of = match (self.cgroup, self.pid) {
            (Some(path), _) => CgroupOf::Path(path),
            (None, Some(pid)) => CgroupOf::Pid(pid),
            (None, None) => CgroupOf::Own,
        };
        pipeline::cgroup(&of, self.format.into(), Style { color: super::wants_color() }, &mut out)?;
        Ok(ExitCode::SUCCESS)
    }
}
