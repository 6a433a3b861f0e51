//! What the verbs with a black box share: `watch-oom` and `agent`.
use super::targets::SessionArgs;
use crate::config;
use crate::config::file::File;
use crate::config::over::Over;
use crate::config::size::parse_bytes;
use crate::dossier::Trigger;
use crate::error::Error;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TriggerName {
    /// The OOM killer
    Oom,
    /// SIGKILL from another process
    Kill,
    /// An end with another status than 0
    Exit,
    /// A Go runtime that ends its process: an unrecovered panic, a fatal error
    Fatal,
    /// An end while memtrace was not running: it was killed, and has been started again
    Lost,
    /// Little left of its memory limit, while it lives
    Headroom,
    /// SIGUSR1 to memtrace: everybody who is watched, alive
    Command,
}

impl TriggerName {
    fn trigger(self) -> Trigger {
        match self {
            TriggerName::Oom => Trigger::Oom,
            TriggerName::Kill => Trigger::Kill,
            TriggerName::Exit => Trigger::Exit,
            TriggerName::Fatal => Trigger::Fatal,
            TriggerName::Lost => Trigger::Lost,
            TriggerName::Headroom => Trigger::Headroom,
            TriggerName::Command => Trigger::Command,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct BlackBoxArgs {
    #[command(flatten)]
    session: SessionArgs,
    /// What makes a dossier [default: all but headroom]
    #[arg(long, value_name = "TRIGGER", value_delimiter = ',')]
    trigger: Vec<TriggerName>,
    /// The headroom trigger: less than this part of the limit left, not counting what is reclaimable without swap
    /// [default: 5]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u64).range(1..=99))]
    headroom_percent: Option<u64>,
    /// Where dossiers are saved [default: /var/lib/memtrace/oom]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Of all saved dossiers and the spill together: the oldest go first [default: 64MiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    max_dir_bytes: Option<u64>,
    /// Only print them
    #[arg(long)]
    no_save: bool,
    /// Settings (TOML); options win over them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show all settings as a file, with what each is for, and end
    #[arg(long, group = "who")]
    print_config: bool,
    /// Only say whether the file of --config is right
    #[arg(long, group = "who", requires = "config")]
    check_config: bool,
}

impl BlackBoxArgs {
    /// All there is to say, where the settings are only asked about.
    pub(super) fn shown(&self, file: &File) -> Result<Option<String>, Error> {
        match (self.check_config, self.print_config) {
            (true, _) => Ok(Some("ok\n".to_owned())),
            (_, true) => file.to_text().map(Some),
            _ => Ok(None),
        }
    }

    pub(super) fn is_check(&self) -> bool {
        self.check_config
    }

    pub(super) fn over(&self) -> Over {
        Over {
            file: self.config.clone(),
            triggers: self.trigger.iter().map(|name| name.trigger()).collect(),
            directory: self.dir.clone(),
            headroom_percent: self.headroom_percent,
            max_dir_bytes: self.max_dir_bytes,
            ..Over::default()
        }
    }

    pub(super) fn config(self, file: File) -> Result<config::WatchOom, Error> {
        let File { targets: rules, dossiers, black_box, pressure, .. } = file;
        Ok(config::WatchOom {
            session: config::Session { rules, ..self.session.session_over(pressure.sources())? },
            triggers: dossiers.triggers,
            headroom_percent: dossiers.headroom_percent,
            directory: (!self.no_save).then_some(dossiers.directory),
            max_dir_bytes: dossiers.max_bytes,
            black_box,
            cpu_percent: None,
            max_rss_bytes: None,
        })
    }
}
