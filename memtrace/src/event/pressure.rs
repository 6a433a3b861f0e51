//! What is told of the memory of a cgroup or of the host beside the kernel's records: by the controller's own files, and by
//! triggers of pressure stall information.
use super::{GoCounters, Meta};
use std::path::Path;
use std::sync::Arc;

/// For one process of that cgroup; of the host: for every process.
#[derive(Clone, Debug, PartialEq)]
pub struct PressureEvent {
    /// Its thread is nobody: 0.
    pub meta: Meta,
    pub told: Arc<PressureTold>,
    /// Of the process, right after it was told.
    pub go: Option<GoCounters>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PressureTold {
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// Directory of the memory cgroup; `None`: the host.
    pub cgroup: Option<Arc<Path>>,
    pub what: PressureWhat,
    /// How often since it was last told.
    pub times: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PressureWhat {
    /// v2 memory.events: by how much each has grown.
    Events(MemoryEvents),
    /// v1 memory.pressure_level: the highest that was told.
    Level(Level),
    /// v1 memory.oom_control: out of memory; told before anybody is killed.
    OutOfMemory,
    /// v1: the usage has passed a threshold, upwards or downwards.
    Threshold { threshold_bytes: u64, usage_bytes: Option<u64> },
    /// Tasks waited for memory.
    Stall(Stalled),
}

/// Counts of memory.events, see Documentation/admin-guide/cgroup-v2.rst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryEvents {
    pub low: u64,
    pub high: u64,
    pub max: u64,
    pub oom: u64,
    pub oom_kill: u64,
    /// Since Linux 5.17.
    pub oom_group_kill: u64,
}

/// See Documentation/admin-guide/cgroup-v1/memory.rst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Low,
    Medium,
    Critical,
}

/// A trigger of pressure stall information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// All tasks that could have run waited, not only some.
    pub is_full: bool,
    pub threshold_ns: u64,
    /// Tells once in such a window in which they waited for longer than the threshold.
    pub window_ns: u64,
    /// They waited for so long since it was last told.
    pub stalled_ns: u64,
    /// There is no trigger: the total was read once a second.
    pub is_polled: bool,
}

impl MemoryEvents {
    pub fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("low", self.low),
            ("high", self.high),
            ("max", self.max),
            ("oom", self.oom),
            ("oom_kill", self.oom_kill),
            ("oom_group_kill", self.oom_group_kill),
        ]
    }

    /// What came since. Counts only grow.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            low: self.low.saturating_sub(before.low),
            high: self.high.saturating_sub(before.high),
            max: self.max.saturating_sub(before.max),
            oom: self.oom.saturating_sub(before.oom),
            oom_kill: self.oom_kill.saturating_sub(before.oom_kill),
            oom_group_kill: self.oom_group_kill.saturating_sub(before.oom_group_kill),
        }
    }

    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            low: self.low.saturating_add(other.low),
            high: self.high.saturating_add(other.high),
            max: self.max.saturating_add(other.max),
            oom: self.oom.saturating_add(other.oom),
            oom_kill: self.oom_kill.saturating_add(other.oom_kill),
            oom_group_kill: self.oom_group_kill.saturating_add(other.oom_group_kill),
        }
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Low, Level::Medium, Level::Critical];

    /// As the kernel's file calls it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Medium => "medium",
            Level::Critical => "critical",
        }
    }
}

impl PressureWhat {
    /// Memory is short; not that the kernel reclaims, as it does wherever page cache fills a cgroup, and finds enough.
    pub fn is_short(&self) -> bool {
        match self {
            PressureWhat::Events(events) => !MemoryEvents { low: 0, ..*events }.is_none(),
            PressureWhat::Level(level) => *level > Level::Low,
            PressureWhat::Threshold { threshold_bytes, usage_bytes } => {
                usage_bytes.is_none_or(|of| of >= *threshold_bytes)
            }
            PressureWhat::OutOfMemory | PressureWhat::Stall(_) => true,
        }
    }

    /// The word it is called by in every output.
    pub fn name(&self) -> &'static str {
        match self {
            PressureWhat::Events(_) => "events",
            PressureWhat::Level(_) => "level",
            PressureWhat::OutOfMemory => "out_of_memory",
            PressureWhat::Threshold { .. } => "threshold",
            PressureWhat::Stall(_) => "stall",
        }
    }
}
