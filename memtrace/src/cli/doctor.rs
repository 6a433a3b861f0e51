use super::targets::FormatArg;
use crate::config::Format;
use crate::error::Error;
use crate::host::Host;
use crate::host::plan::Want;
use crate::pipeline;
use crate::sink::doctor;
use clap::Args;
use std::io;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    format: FormatArg,
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let host = Host::read();
        let (params, missing) = host.params(bytemuck::Zeroable::zeroed());
        let plan = host.plan(&params, &missing, &Want::default());
        let mut out = io::BufWriter::new(io::stdout());
        let written = match Format::from(self.format) {
            Format::Text => doctor::write_text(&mut out, &host.facts, &plan),
            Format::Json => doctor::write_json(&mut out, &host.facts, &plan),
        };
        pipeline::written(&mut out, written)?;
        Ok(if plan.is_ready() { ExitCode::SUCCESS } else { ExitCode::from(3) })
    }
}
