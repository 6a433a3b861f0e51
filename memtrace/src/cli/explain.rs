use super::targets::FormatArg;
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
}

impl Explain {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let mut out = io::BufWriter::new(io::stdout());
        let style = Style { color: super::wants_color() };
        pipeline::explain(self.pid, self.format.into(), style, &mut out)?;
        Ok(ExitCode::SUCCESS)
    }
}
