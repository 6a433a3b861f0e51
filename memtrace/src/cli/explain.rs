use super::targets::FormatArg;
use crate::config;
use crate::error::Error;
use crate::pipeline;
use crate::sink::text::Style;
use clap::Args;
use std::io;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The process
    #[arg(short, long, value_name = "PID")]
    pid: u32,
    #[command(flatten)]
    format: FormatArg,
    /// Say below each bucket what its figure comes from (always in JSON)
    #[arg(long)]
    evidence: bool,
    /// Show the heap by size class, and what each P holds (always in JSON)
    #[arg(long)]
    spans: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let mut out = io::BufWriter::new(io::stdout());
        let style = Style { color: super::wants_color() };
        let Explain { pid, format, evidence, spans } = self;
        let view = config::Explain { pid, format: format.into(), evidence, spans };
        pipeline::explain(view, style, &mut out)?;
        Ok(ExitCode::SUCCESS)
    }
}
