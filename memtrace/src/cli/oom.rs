//! `watch-oom`, and `oom` for what it saved.
use super::black_box::BlackBoxArgs;
use super::wants_color;
use crate::config::{self, DIRECTORY, OomFormat};
use crate::error::Error;
use crate::pipeline;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
#[command(
    override_usage = "memtrace watch-oom [OPTIONS] <-p PID | -c CGROUP | --comm GLOB | --exe GLOB | -a | -- CMD...>"
)]
pub(super) struct WatchOom {
    #[command(flatten)]
    args: BlackBoxArgs,
}

impl WatchOom {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let out = std::io::BufWriter::new(std::io::stdout());
        let file = self.args.over().read()?;
        match self.args.shown(&file)? {
            Some(text) => pipeline::print(out, &text),
            None => pipeline::watch_oom(self.args.config(file)?, out),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Text,
    Json,
    Markdown,
}

#[derive(Debug, Args)]
pub(super) struct Oom {
    #[command(subcommand)]
    show: Option<Show>,
    /// Where they were saved
    #[arg(long, value_name = "DIR", default_value = DIRECTORY, global = true)]
    dir: PathBuf,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text", global = true)]
    output: FormatName,
}

#[derive(Debug, Subcommand)]
enum Show {
    /// One dossier, whole
    Show {
        /// As listed, or a beginning of it that no other has
        id: String,
    },
    /// OOM kills and other deaths by workload and verdict, of all dossiers that there ever were
    Counts,
}

impl Oom {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let config = config::Oom {
            counts: matches!(self.show, Some(Show::Counts)),
            id: match self.show {
                Some(Show::Show { id }) => Some(id),
                Some(Show::Counts) | None => None,
            },
            directory: self.dir,
            format: match self.output {
                FormatName::Text => OomFormat::Text,
                FormatName::Json => OomFormat::Json,
                FormatName::Markdown => OomFormat::Markdown,
            },
            color: wants_color(),
        };
        pipeline::oom(&config, &mut std::io::BufWriter::new(std::io::stdout()))
    }
}
