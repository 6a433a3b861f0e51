//! What was meant: the command line, validated once; immutable afterwards.
use crate::kernel::Sizes;
use globset::GlobMatcher;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

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
    pub duration: Option<Duration>,
    pub format: Format,
    /// Count pages freed inside calls.
    pub exact: bool,
    /// Track re-faults.
    pub faults: bool,
    pub sizes: Sizes,
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
