//! Whom to observe and how, the same for every verb that observes.
use crate::config::size::{parse_duration, parse_ring_bytes};
use crate::config::{Format, Session, Targets};
use crate::error::Error;
use crate::host::plan::CallHook;
use crate::kernel::Sizes;
use crate::procfs::psi::StallTrigger;
use crate::source::pressure::PressureConfig;
use clap::{ArgGroup, Args, ValueEnum};
use globset::{Glob, GlobMatcher};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CallHookName {
    Auto,
    Fentry,
    Tracepoint,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("who").args(["pids", "cgroup", "comm", "exe", "all", "command"]).required(true))]
pub(super) struct SessionArgs {
    /// Processes, with the children they fork
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',')]
    pids: Vec<u32>,
    /// All processes of a cgroup (its directory) and of those below it
    #[arg(short, long, value_name = "CGROUP_PATH")]
    cgroup: Option<PathBuf>,
    /// All processes whose name (comm) matches
    #[arg(long, value_name = "GLOB")]
    comm: Option<String>,
    /// All processes whose executable's path matches
    #[arg(long, value_name = "GLOB")]
    exe: Option<String>,
    /// All Go processes
    #[arg(short, long)]
    all: bool,
    /// Run a command and observe it from its first instruction; its exit code is passed on
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
    /// Stop after this long (15, 500ms, 2m)
    #[arg(short, long, value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Output format; JSON is one object a line
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: FormatName,
    /// Count the pages really freed inside each call (costs every freed page on the host about 75 ns)
    #[arg(long)]
    exact: bool,
    /// Do not track page faults: no re-faults, no kept bytes, and nothing added to faults
    #[arg(long)]
    no_faults: bool,
    /// How system calls are hooked: at the kernel's functions (fentry), which costs other processes nothing, or at
    /// tracepoints, which slow every system call of the host; auto: functions where that works
    #[arg(long, value_name = "HOOK", default_value = "auto")]
    syscall_hook: CallHookName,
    /// Do not wait for what cgroups and the host tell of their memory (memory.events, v1 event descriptors, PSI triggers)
    #[arg(long)]
    no_pressure: bool,
    /// When pressure stall information tells: some or full, microseconds waited, out of a window (repeatable)
    /// [default: "some 100000 1000000" "full 50000 1000000"]
    #[arg(long, value_name = "TRIGGER", conflicts_with = "no_pressure")]
    psi: Vec<StallTrigger>,
    /// Show the probes' own diagnostics on stderr
    #[arg(long)]
    probe_log: bool,
    /// Size of the event ring
    #[arg(long, value_name = "BYTES", default_value = "4MiB", value_parser = parse_ring_bytes)]
    ring_bytes: u32,
    /// Processes observed at once
    #[arg(long, value_name = "N", default_value_t = Sizes::default().targets, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    max_targets: u32,
    /// 2 MiB chunks of returned memory followed for re-faults (4 KiB of kernel memory each)
    #[arg(long, value_name = "N", default_value_t = Sizes::default().chunks, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    max_chunks: u32,
}

impl SessionArgs {
    pub(super) fn session(self) -> Result<Session, Error> {
        self.session_over(Some(PressureConfig::default()))
    }

    /// What was typed goes over what a file says of pressure.
    pub(super) fn session_over(self, pressure: Option<PressureConfig>) -> Result<Session, Error> {
        let typed = |of: PressureConfig| PressureConfig { stalls: self.psi.clone(), ..of };
        let pressure = if self.psi.is_empty() { pressure } else { Some(typed(pressure.unwrap_or_default())) };
        let targets = if let Some(path) = self.cgroup {
            Targets::Cgroup(path)
        } else if let Some(text) = self.comm {
            Targets::Comm(glob(&text)?)
        } else if let Some(text) = self.exe {
            Targets::Exe(glob(&text)?)
        } else if !self.pids.is_empty() {
            Targets::Pids(self.pids)
        } else if self.all || self.command.is_empty() {
            // Only `agent` need not be told whom it observes.
            Targets::AllGo
        } else {
            Targets::Command(self.command)
        };
        Ok(Session {
            targets,
            rules: Default::default(),
            duration: self.duration,
            format: match self.output {
                FormatName::Text => Format::Text,
                FormatName::Json => Format::Json,
            },
            exact: self.exact,
            faults: !self.no_faults,
            calls: match self.syscall_hook {
                CallHookName::Auto => CallHook::Cheapest,
                CallHookName::Fentry => CallHook::Functions,
                CallHookName::Tracepoint => CallHook::Tracepoints,
            },
            sizes: Sizes { ring_bytes: self.ring_bytes, targets: self.max_targets, chunks: self.max_chunks },
            max_open_files: None,
            pressure: pressure.filter(|_| !self.no_pressure),
            probe_log: self.probe_log,
            color: super::wants_color(),
        })
    }
}

fn glob(text: &str) -> Result<GlobMatcher, Error> {
    Glob::new(text).map(|g| g.compile_matcher()).map_err(|e| Error::Usage(e.to_string()))
}

impl From<FormatArg> for Format {
    fn from(arg: FormatArg) -> Self {
        match arg.output {
            FormatName::Text => Format::Text,
            FormatName::Json => Format::Json,
        }
    }
}

/// For verbs that observe nobody.
#[derive(Debug, Args)]
pub(super) struct FormatArg {
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: FormatName,
}
