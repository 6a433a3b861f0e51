//! `record`, and `replay` for what it wrote.
use super::targets::SessionArgs;
use super::wants_color;
use crate::config::file::{BlackBox, Recording, check_node};
use crate::config::size::parse_duration;
use crate::config::{self, Format};
use crate::dossier::Trigger;
use crate::error::Error;
use crate::pipeline;
use crate::sink::recording::View;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Args)]
#[command(
    override_usage = "memtrace record [OPTIONS] -o FILE.parquet <-p PID | -c CGROUP | --comm GLOB | --exe GLOB | -a | -- CMD...>",
    mut_arg("output", |output| output.short(None))
)]
pub(super) struct Record {
    #[command(flatten)]
    session: SessionArgs,
    /// FILE.parquet, which is whole only at the end; or a directory, which has a new file so often and survives SIGKILL
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// A sample of every process so often
    #[arg(short, long, default_value = "1s", value_parser = parse_duration)]
    interval: Duration,
    /// Into a directory: a file so often
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    flush_interval: Duration,
    /// What this machine is called in it [default: its host name]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

/// Nobody asked for a bound.
const NO_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Record {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        pipeline::record(self.config()?, std::io::BufWriter::new(std::io::stdout()))
    }

    fn config(self) -> Result<config::Record, Error> {
        let Record { session, file, interval, flush_interval, node } = self;
        let node = node.unwrap_or_default();
        check_node(&node).map_err(|why| Error::Usage(format!("--node: {why}")))?;
        let usual = BlackBox::default();
        let black_box = BlackBox {
            fine_interval: interval,
            burst_interval: usual.burst_interval.min(interval),
            coarse_interval: usual.coarse_interval.max(interval),
            ..usual
        };
        let is_file = file.extension().is_some_and(|extension| extension == "parquet");
        let directory = file.clone();
        let recording = Recording {
            enabled: true,
            directory,
            max_bytes: u64::MAX,
            max_age: NO_LIMIT,
            flush_interval,
            node,
            ..Recording::default()
        };
        let watch = config::WatchOom {
            session: session.session()?,
            triggers: Trigger::usual(),
            headroom_percent: 5,
            directory: None,
            max_dir_bytes: 0,
            black_box,
            cpu_percent: None,
            max_rss_bytes: None,
        };
        Ok(config::Record { watch, recording, file: is_file.then_some(file) })
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// A recording, or a directory of them
    path: PathBuf,
    /// The events, as `memtrace trace` prints them
    #[arg(long, group = "view")]
    trace: bool,
    /// The newest close look at each process: what its RSS was
    #[arg(long, group = "view")]
    explain: bool,
    /// The deaths, as `memtrace oom show` prints them
    #[arg(long, group = "view")]
    oom: bool,
    /// Output format; JSON is one object a line
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: FormatName,
}

impl Replay {
    pub(super) fn run(self) -> Result<ExitCode, Error> {
        let config = config::Replay {
            view: match (self.trace, self.explain, self.oom) {
                (true, ..) => View::Trace,
                (_, true, _) => View::Explain,
                (_, _, true) => View::Oom,
                _ => View::Stat,
            },
            path: self.path,
            format: match self.output {
                FormatName::Text => Format::Text,
                FormatName::Json => Format::Json,
            },
            color: wants_color(),
        };
        pipeline::replay(&config, &mut std::io::BufWriter::new(std::io::stdout()))
    }
}
