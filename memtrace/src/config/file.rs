//! The configuration file: TOML, every key with a default; what it does not know is refused with its line.
mod changes;
mod http;
mod limits;
mod otlp;
mod recording;
mod targets;
mod upload;

pub use http::Http;
pub use limits::Limits;
pub use otlp::{Compression, Otlp, Protocol};
pub use recording::{Recording, check_node};
pub use targets::{Targets, Trait};
pub use upload::{Upload, check_endpoint};

use super::size::{parse_bytes, parse_duration};
use crate::dossier::Trigger;
use crate::enrich::Pace;
use crate::error::Error;
use crate::procfs::psi::StallTrigger;
use crate::source::pressure::PressureConfig;
use crate::timeline::TimelineConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt::Write as _;
use std::fs::File as OsFile;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file beyond this is none of ours.
const MAX_BYTES: u64 = 1 << 20;
/// No clock of memtrace's overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
const SHORTEST: Duration = Duration::from_millis(10);
const MIB: u64 = 1 << 20;

/// All of it; `--print-config` of `watch-oom` and of `agent` shows it with what each key is for. One file is good for both:
/// `watch-oom` reads `[limits]`, `[http]`, `[otlp]` and `[recording]` and does nothing with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub targets: Targets,
    pub limits: Limits,
    pub dossiers: Dossiers,
    pub black_box: BlackBox,
    pub pressure: Pressure,
    pub http: Http,
    pub otlp: Otlp,
    pub recording: Recording,
}

/// What makes a dossier, and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dossiers {
    pub directory: PathBuf,
    #[serde(with = "bytes")]
    pub max_bytes: u64,
    #[serde(with = "triggers")]
    pub triggers: Vec<Trigger>,
    #[serde(deserialize_with = "percent")]
    pub headroom_percent: u64,
}

/// What is kept of every process in case it dies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlackBox {
    #[serde(with = "duration")]
    pub fine_interval: Duration,
    #[serde(with = "duration")]
    pub fine_span: Duration,
    #[serde(with = "duration")]
    pub coarse_interval: Duration,
    #[serde(with = "duration")]
    pub coarse_span: Duration,
    #[serde(with = "duration")]
    pub burst_interval: Duration,
    #[serde(deserialize_with = "percent")]
    pub burst_headroom_percent: u64,
    #[serde(with = "duration")]
    pub burst_time_to_full: Duration,
    #[serde(deserialize_with = "percent")]
    pub closeup_headroom_percent: u64,
    #[serde(with = "bytes")]
    pub max_bytes_per_process: u64,
    pub max_processes: usize,
    #[serde(with = "duration")]
    pub spill_interval: Duration,
}

/// What cgroups and the host tell of their memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pressure {
    pub enabled: bool,
    #[serde(with = "stalls")]
    pub psi: Vec<StallTrigger>,
    #[serde(deserialize_with = "percent")]
    pub threshold_percent: u64,
    pub max_descriptors: usize,
}

/// What each key is for, in the order that they are printed in.
const ABOUT: &[(&str, &[(&str, &str)])] = &[
    ("targets", targets::ABOUT),
    ("limits", limits::ABOUT),
    (
        "dossiers",
        &[
            ("directory", "where dossiers are saved"),
            ("max_bytes", "of all saved dossiers and the spill together: the oldest go first"),
            ("triggers", "what makes a dossier"),
            (
                "headroom_percent",
                "the trigger headroom: less than this part of the limit left, reclaimable memory not counted",
            ),
        ],
    ),
    (
        "black_box",
        &[
            ("fine_interval", "a point of every process so often ..."),
            ("fine_span", "... for so long"),
            ("coarse_interval", "and before that one so often ..."),
            ("coarse_span", "... for so long"),
            ("burst_interval", "a point so often ..."),
            ("burst_headroom_percent", "... while less than this part of the limit is left ..."),
            ("burst_time_to_full", "... or it would be met within this at the present pace"),
            (
                "closeup_headroom_percent",
                "heap profile, goroutines and RSS while less than this part of the limit is left",
            ),
            ("max_bytes_per_process", "of a process's timeline in memory: the oldest points go first"),
            ("max_processes", "that have a timeline; of others only the death is known"),
            ("spill_interval", "timelines are saved so often, in case memtrace itself is killed"),
        ],
    ),
    (
        "pressure",
        &[
            ("enabled", "wait for what cgroups and the host tell of their memory"),
            (
                "psi",
                "pressure stall triggers of the host and of cgroups (v2): some or full, microseconds waited, out of a window",
            ),
            ("threshold_percent", "of the limit of a cgroup (v1): told when its charge passes it"),
            ("max_descriptors", "open at once: 4 a cgroup (v2), 5 (v1)"),
        ],
    ),
    ("http", http::ABOUT),
    ("otlp", otlp::ABOUT),
    ("recording", recording::ABOUT),
    ("recording.upload", upload::ABOUT),
];

impl Default for Dossiers {
    fn default() -> Self {
        Self {
            directory: super::DIRECTORY.into(),
            max_bytes: 64 * MIB,
            triggers: Trigger::usual(),
            headroom_percent: 5,
        }
    }
}

impl Default for BlackBox {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            fine_interval: seconds(1),
            fine_span: seconds(15 * 60),
            coarse_interval: seconds(10),
            coarse_span: seconds(2 * 3600),
            burst_interval: Duration::from_millis(100),
            burst_headroom_percent: 10,
            burst_time_to_full: seconds(3),
            closeup_headroom_percent: 25,
            max_bytes_per_process: MIB / 4,
            max_processes: 1024,
            spill_interval: seconds(10),
        }
    }
}

impl Default for Pressure {
    fn default() -> Self {
        let PressureConfig { stalls, threshold_percent, max_descriptors } = PressureConfig::default();
        Self { enabled: true, psi: stalls, threshold_percent, max_descriptors }
    }
}

impl Pressure {
    /// `None`: not waited for.
    pub fn sources(self) -> Option<PressureConfig> {
        let Self { enabled, psi, threshold_percent, max_descriptors } = self;
        enabled.then_some(PressureConfig { stalls: psi, threshold_percent, max_descriptors })
    }
}

impl File {
    /// Refused in one line, with the file's name and the number of the line.
    pub fn read(path: &Path) -> Result<File, Error> {
        let at = path.display();
        let mut text = String::new();
        let read = OsFile::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
        match read {
            Ok(bytes) if bytes as u64 > MAX_BYTES => Err("it is too large to be a configuration".to_owned()),
            Ok(_) => Self::parse(&text),
            Err(why) => Err(why.to_string()),
        }
        .map_err(|why| Error::Usage(format!("{at}: {why}")))
    }

    pub fn parse(text: &str) -> Result<File, String> {
        let file: File = toml::from_str(text).map_err(|why| {
            let message = why.message().lines().collect::<Vec<_>>().join(", ");
            match why.span() {
                Some(span) => format!("line {}: {message}", line_at(text, span.start)),
                None => message,
            }
        })?;
        file.check().map_err(|(key, why)| match line_of(text, key) {
            Some(line) => format!("line {line}: {key}: {why}"),
            None => format!("{key}: {why}"),
        })?;
        Ok(file)
    }

    /// As a file that says the same.
    pub fn to_text(&self) -> Result<String, Error> {
        let table = toml::Table::try_from(self).map_err(|why| Error::Usage(format!("cannot print it: {why}")))?;
        let mut text = String::from("# memtrace\n");
        for (table_name, keys) in ABOUT {
            let _ = writeln!(text, "\n[{table_name}]");
            for (key, about) in *keys {
                if let Some(value) = table_of(&table, table_name).and_then(|table| table.get(*key)) {
                    let _ = writeln!(text, "# {about}\n{key} = {value}");
                }
            }
        }
        Ok(text)
    }

    /// What no single key shows.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let of = &self.black_box;
        let no_longer = |key, value: Duration, than: &str, limit: Duration| {
            let shown = humantime::format_duration;
            if value <= limit {
                Ok(())
            } else {
                Err((key, format!("{} is longer than {than}, {}", shown(value), shown(limit))))
            }
        };
        no_longer("burst_interval", of.burst_interval, "fine_interval", of.fine_interval)?;
        no_longer("fine_interval", of.fine_interval, "coarse_interval", of.coarse_interval)?;
        no_longer("fine_interval", of.fine_interval, "fine_span", of.fine_span)?;
        no_longer("fine_span", of.fine_span, "coarse_span", of.coarse_span)?;
        if !(64 << 10..=64 * MIB).contains(&of.max_bytes_per_process) {
            return Err(("max_bytes_per_process", "must be from 64KiB to 64MiB".to_owned()));
        }
        limits::within("max_processes", of.max_processes, &(1..=1 << 16))?;
        if self.dossiers.directory.as_os_str().is_empty() {
            return Err(("directory", "must not be empty".to_owned()));
        }
        self.limits.check()?;
        self.http.check()?;
        self.otlp.check()?;
        self.recording.check()
    }
}

impl BlackBox {
    pub fn timeline(&self) -> TimelineConfig {
        TimelineConfig {
            fine_ns: ns(self.fine_span),
            coarse_ns: ns(self.coarse_span),
            coarse_step_ns: ns(self.coarse_interval),
            max_bytes: usize::try_from(self.max_bytes_per_process).unwrap_or(usize::MAX),
        }
    }

    pub fn pace(&self, cpu_percent: Option<u64>) -> Pace {
        Pace {
            round_ns: ns(self.fine_interval),
            burst_percent: self.burst_headroom_percent,
            burst_ns: ns(self.burst_time_to_full),
            look_percent: self.closeup_headroom_percent,
            cpu_percent,
            longest_ns: ns(self.coarse_interval),
        }
    }

    pub fn spill_ns(&self) -> u64 {
        ns(self.spill_interval)
    }
}

/// `name`: with those that it is in, as `table.table`.
fn table_of<'a>(file: &'a toml::Table, name: &str) -> Option<&'a toml::Table> {
    name.split('.').try_fold(file, |table, name| table.get(name)?.as_table())
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// From 1.
fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

/// Of `key`, or of `key` in `table` where it is `table.key`; tables may be in others.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (table, key) = key.rsplit_once('.').map_or((None, key), |(table, key)| (Some(format!("[{table}]")), key));
    let says = |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
    let is_of_others = |(_, line): &(usize, &str)| table.as_ref().is_some_and(|table| line.trim() != table);
    let mut lines = text.lines().enumerate().skip_while(is_of_others);
    lines.find(|(_, line)| says(line)).map(|(at, _)| at + 1)
}

fn percent<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let value = u64::deserialize(from)?;
    if value <= 100 { Ok(value) } else { Err(D::Error::custom(format!("{value} is more than 100 percent"))) }
}

mod duration {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let value = parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)?;
        if (SHORTEST..=LONGEST).contains(&value) { Ok(value) } else { Err(D::Error::custom("must be from 10ms to 1y")) }
    }
}

mod bytes {
    use super::*;

    /// In the largest unit that leaves a whole number.
    pub(super) fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        let unit =
            [("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| *value >> shift << shift == *value);
        match unit.filter(|_| *value > 0) {
            Some((unit, shift)) => to.collect_str(&format_args!("{}{unit}", value >> shift)),
            None => to.collect_str(value),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        parse_bytes(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

mod stalls {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &[StallTrigger], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.iter().map(StallTrigger::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StallTrigger>, D::Error> {
        Vec::<String>::deserialize(from)?.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}

mod triggers {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &[Trigger], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(value.iter().map(|trigger| trigger.name()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Trigger>, D::Error> {
        let known = || Trigger::ALL.iter().map(|trigger| trigger.name()).collect::<Vec<_>>().join(", ");
        let named = |name: &String| {
            let found = Trigger::ALL.iter().find(|trigger| trigger.name() == name);
            found.copied().ok_or_else(|| D::Error::custom(format!("{name:?} is no trigger: {}", known())))
        };
        Vec::<String>::deserialize(from)?.iter().map(named).collect()
    }
}

/// What the fuzz target calls: any bytes as a file; what is read is printed so that it reads the same.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    match File::parse(&String::from_utf8_lossy(bytes)) {
        Ok(file) => assert_eq!(file.to_text().ok().map(|text| File::parse(&text)), Some(Ok(file))),
        Err(why) => assert!(!why.trim().is_empty() && !why.contains('\n'), "{why:?}"),
    }
}

#[cfg(test)]
mod tests;
