use super::targets::FormatArg;
use crate::error::Error;
use crate::pipeline;
use crate::sink::text::Style;
use clap::Args;
use std::io;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Ps {
    #[command(flatten)]
    format: FormatArg,
}

impl Ps {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let mut out = io::BufWriter::new(io::stdout());
        pipeline::ps(self.format.into(), Style { color: super::wants_color() }, &mut out)?;
        Ok(ExitCode::SUCCESS)
    }
}
