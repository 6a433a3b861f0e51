//! Why a process died: what was kept of its last minutes, what the kernel said, and a verdict. Pure but for `store` and `shelf`.
mod blackbox;
mod case;
mod past;
mod present;
mod ration;
pub mod shelf;
pub mod store;
#[cfg(test)]
mod tests;

pub use blackbox::{BlackBox, BlackBoxConfig, Need};
pub use past::{Gap, Kept, Lost, Past, Saving};
pub use present::{Divided, Living, Present, Recorded, Reloads, Uploaded, headroom};
pub use ration::{Ration, Rationed};

use crate::cgroup::Account;
use crate::cgroup::workload::Workload;
use crate::diagnose::{Cause, Growth, Verdict};
use crate::enrich::Closeup;
use crate::event::{Extent, FatalWhat, GoCounters, OomWhat, TargetId};
use crate::goruntime::Sample;
use crate::sink::Frame;
use crate::snapshot::{ExitSnapshot, ProcessSnapshot};
use crate::source::kmsg::KernelLine;
use crate::timeline::{Mark, Point};

/// What makes a dossier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The kernel's OOM killer.
    Oom,
    /// SIGKILL from another process.
    Kill,
    /// An end with another status than 0, or by another signal.
    Exit,
    /// A Go runtime that ends its process.
    Fatal,
    /// It ended while memtrace was not running.
    Lost,
    /// It lives, and little is left of its memory limit.
    Headroom,
    /// It lives, and the user asked.
    Command,
}

impl Trigger {
    pub const ALL: &[Trigger] = &[
        Trigger::Oom,
        Trigger::Kill,
        Trigger::Exit,
        Trigger::Fatal,
        Trigger::Lost,
        Trigger::Command,
        Trigger::Headroom,
    ];

    /// Unless others are chosen: what is still alive is told of only when that is wanted.
    pub fn usual() -> Vec<Trigger> {
        Trigger::ALL.iter().copied().filter(|trigger| *trigger != Trigger::Headroom).collect()
    }

    /// What it is about has not ended.
    pub fn is_of_the_living(self) -> bool {
        matches!(self, Trigger::Headroom | Trigger::Command)
    }

    pub fn name(self) -> &'static str {
        match self {
            Trigger::Oom => "oom",
            Trigger::Kill => "kill",
            Trigger::Exit => "exit",
            Trigger::Fatal => "fatal",
            Trigger::Headroom => "headroom",
            Trigger::Command => "command",
            Trigger::Lost => "lost",
        }
    }
}

/// What a Go runtime said as it ended its process.
#[derive(Clone, Debug, PartialEq)]
pub struct GoSaid {
    pub target: TargetId,
    pub t_ns: u64,
    pub what: FatalWhat,
    /// `None`: nothing that can be read.
    pub message: Option<String>,
    /// Innermost first: who called the function that does not return.
    pub stack: Vec<Frame>,
    pub counters: Option<GoCounters>,
}

impl GoSaid {
    /// The kernel refused the runtime memory (Go runtime/malloc.go, mheap.go, mem_linux.go).
    pub fn is_out_of_memory(&self) -> bool {
        let refused = ["out of memory", "runtime: out of memory", "runtime: cannot allocate memory"];
        let message = self.message.as_deref().unwrap_or_default();
        self.what == FatalWhat::Throw && refused.iter().any(|beginning| message.starts_with(beginning))
    }
}

/// A moment on CLOCK_MONOTONIC that another record of the same death can be laid beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub what: &'static str,
    pub t_ns: u64,
    /// The truth is within ± this.
    pub uncertainty_ns: u64,
}

/// One source of the last state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: &'static str,
    /// Before the trigger; `None`: this source has nothing.
    pub age_ns: Option<u64>,
    /// Of what was walked: how far.
    pub extent: Option<Extent>,
}

/// All that is known of one death.
#[derive(Clone, Debug)]
pub struct Dossier {
    pub trigger: Trigger,
    pub cause: Cause,
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// Who it was, and its page-return ledger.
    pub process: ProcessSnapshot,
    pub exit: Option<ExitSnapshot>,
    /// Whose allocation started the OOM killer.
    pub allocator_pid: Option<u32>,
    /// What the kernel said at the kill and at the choice of the victim.
    pub kernel: Vec<OomWhat>,
    pub log: Vec<KernelLine>,
    pub said: Option<GoSaid>,
    /// At the kill, where the kernel could read them.
    pub last_counters: Option<GoCounters>,
    /// The runtime's statistics as the victim left, and when that was.
    pub words: Option<(u64, Sample)>,
    /// After the kill, so long after it.
    pub account: Option<(u64, Account)>,
    pub anchors: Vec<Anchor>,
    pub sources: Vec<Source>,
    pub first: Option<Closeup>,
    pub last: Option<Closeup>,
    pub points: Vec<Point>,
    /// What happened between them, and how much more.
    pub marks: Vec<Mark>,
    pub dropped_marks: u64,
    /// What it counts as; `None`: by its executable.
    pub workload: Option<Workload>,
    /// Stretches that nobody watched.
    pub gaps: Vec<Gap>,
    /// Nobody saw its end.
    pub lost: Option<Lost>,
    /// Stretches of the timeline that went for want of room.
    pub dropped_chunks: u64,
    pub heap: Vec<Growth>,
    pub goroutines: Vec<Growth>,
    pub mappings: Vec<Growth>,
    pub verdict: Verdict,
}
