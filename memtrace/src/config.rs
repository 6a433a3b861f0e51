//! What was meant: the command line and the configuration file, validated once; immutable afterwards.
pub mod file;
pub mod over;
pub(crate) mod size;

use crate::dossier::Trigger;
use crate::host::plan::CallHook;
use crate::kernel::Sizes;
use crate::source::pressure::PressureConfig;
use globset::GlobMatcher;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Where dossiers are saved, unless it is said otherwise.
pub const DIRECTORY: &str = "/var/lib/memtrace/oom";

/// Who is observed.
#[derive(Clone, Debug)]
pub enum Targets {
    Pids(Vec<u32>),
    /// Absolute path of a cgroup directory; its descendants too.
    Cgroup(PathBuf),
    Comm(GlobMatcher),
    Exe(GlobMatcher),
    AllGo,
    /// Runs it and observes it with all its children.
    Command(Vec<OsString>),
}

impl Targets {
    /// Processes that do not run yet may become targets.
    pub fn discovers(&self) -> bool {
        !matches!(self, Targets::Pids(_) | Targets::Command(_))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// What `stat` and `trace` share.
#[derive(Clone, Debug)]
pub struct Session {
    pub targets: Targets,
    /// Of those that are found.
    pub rules: file::Targets,
    pub duration: Option<Duration>,
    pub format: Format,
    /// Count pages freed inside calls.
    pub exact: bool,
    /// Track re-faults.
    pub faults: bool,
    pub calls: CallHook,
    pub sizes: Sizes,
    /// `None`: as many as it may have.
    pub max_open_files: Option<u64>,
    /// `None`: what cgroups and the host tell of their memory is not waited for.
    pub pressure: Option<PressureConfig>,
    /// Show what aya-log brings from the probes.
    pub probe_log: bool,
    pub color: bool,
}

#[derive(Clone, Debug)]
pub struct Stat {
    pub session: Session,
    /// `None`: only the summary.
    pub interval: Option<Duration>,
    /// Remember who mapped what.
    pub stacks: bool,
}

#[derive(Clone, Debug)]
pub struct Trace {
    pub session: Session,
    /// Bits 1 << `memtrace_common::kind`.
    pub families: u32,
    pub min_bytes: u64,
    pub stacks: bool,
}

/// `watch-oom`.
#[derive(Clone, Debug)]
pub struct WatchOom {
    pub session: Session,
    pub triggers: Vec<Trigger>,
    /// Part of the limit.
    pub headroom_percent: u64,
    /// `None`: dossiers are not saved.
    pub directory: Option<PathBuf>,
    pub max_dir_bytes: u64,
    pub black_box: file::BlackBox,
    /// Of one CPU; `None`: what it takes.
    pub cpu_percent: Option<u64>,
    /// The same of its RSS, and of `agent` only.
    pub max_rss_bytes: Option<u64>,
}

/// `agent`: what `watch-oom` does, and what it serves.
#[derive(Clone, Debug)]
pub struct Agent {
    pub watch: WatchOom,
    /// What was typed, and what both came to: the file may change.
    pub over: over::Over,
    pub file: file::File,
}

/// `record`.
#[cfg(feature = "record")]
#[derive(Clone, Debug)]
pub struct Record {
    pub watch: WatchOom,
    pub recording: file::Recording,
    /// `None`: into the directory of `recording`.
    pub file: Option<PathBuf>,
}

/// `replay`.
#[cfg(feature = "record")]
#[derive(Clone, Debug)]
pub struct Replay {
    /// A file, or a directory with all below it.
    pub path: PathBuf,
    pub view: crate::sink::recording::View,
    pub format: Format,
    pub color: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OomFormat {
    Text,
    Json,
    Markdown,
}

/// `oom`.
#[derive(Clone, Debug)]
pub struct Oom {
    /// `None`: all of them, a line each.
    pub id: Option<String>,
    /// Not dossiers, but how many there have been.
    pub counts: bool,
    pub directory: PathBuf,
    pub format: OomFormat,
    pub color: bool,
}

/// `explain`.
#[derive(Clone, Copy, Debug)]
pub struct Explain {
    pub pid: u32,
    pub format: Format,
    /// In text: where each figure comes from.
    pub evidence: bool,
    /// In text: size classes, and what each P holds.
    pub spans: bool,
}

/// Whose account `cgroup` shows.
#[derive(Clone, Debug)]
pub enum CgroupOf {
    /// memtrace's own.
    Own,
    Pid(u32),
    /// A directory, or a path inside the hierarchy.
    Path(PathBuf),
}

/// Which profile of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileOf {
    Goroutines,
    Heap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileFormat {
    Table,
    Json,
    Folded,
    Pprof,
    Svg,
}

/// `goroutines` and `heap`.
#[derive(Clone, Debug)]
pub struct ProfileView {
    pub of: ProfileOf,
    pub pid: u32,
    pub format: ProfileFormat,
    /// Rows of a table.
    pub top: usize,
    /// An earlier profile, in pprof's format.
    pub diff: Option<PathBuf>,
    /// Name of the values of folded stacks; `None`: those of the default.
    pub sample_index: Option<String>,
}
