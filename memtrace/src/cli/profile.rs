use crate::config::{ProfileFormat, ProfileOf, ProfileView};
use crate::error::Error;
use crate::pipeline;
use crate::sink::text::Style;
use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shared by `goroutines` and `heap`.
#[derive(Debug, Args)]
pub(super) struct Profile {
    /// The process
    #[arg(short, long, value_name = "PID")]
    pid: u32,
    /// Output format; pprof is what `go tool pprof` reads, folded what flame graph tools read
    #[arg(short = 'o', long, visible_alias = "output", value_name = "FORMAT", default_value = "table")]
    format: FormatName,
    /// Rows of the table
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,
    /// Show what changed since the profile in this file (pprof format, of memtrace or of Go itself)
    #[arg(long, value_name = "FILE")]
    diff: Option<PathBuf>,
    /// Values of folded stacks and flame graphs, by the name pprof gives them (inuse_space, alloc_objects, …)
    #[arg(long, value_name = "NAME")]
    sample_index: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    #[value(alias = "text")]
    Table,
    Json,
    Folded,
    Pprof,
    Svg,
}

impl Profile {
    pub(super) fn run(self, of: ProfileOf) -> Result<ExitCode, Error> {
        let format = match self.format {
            FormatName::Table => ProfileFormat::Table,
            FormatName::Json => ProfileFormat::Json,
            FormatName::Folded => ProfileFormat::Folded,
            FormatName::Pprof => ProfileFormat::Pprof,
            FormatName::Svg => ProfileFormat::Svg,
        };
        if format == ProfileFormat::Pprof && io::stdout().is_terminal() {
            return Err(Error::Usage(
                "pprof's format is not for terminals: write it to a file with `> FILE`".to_owned(),
            ));
        }
        let Profile { pid, top, diff, sample_index, .. } = self;
        let view = ProfileView { of, pid, format, top, diff, sample_index };
        let mut out = io::BufWriter::new(io::stdout());
        pipeline::profile(&view, Style { color: super::wants_color() }, &mut out)?;
        Ok(ExitCode::SUCCESS)
    }
}
