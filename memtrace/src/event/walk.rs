use super::Meta;
use memtrace_common::records::GoroutineItem;

/// A part of what the kernel walked of a process that SIGKILL ends, on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Walk {
    pub meta: Meta,
    pub part: WalkPart,
}

#[derive(Clone, Debug, PartialEq)]
pub enum WalkPart {
    /// Buckets of the heap profile as they were in its memory, newest first.
    Buckets(Vec<u8>),
    Goroutines(Vec<GoroutineItem>),
    End(WalkEnd),
}

/// The walk is over; its parts came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkEnd {
    pub took_ns: u64,
    /// `runtime.MemProfileRate`.
    pub rate_bytes: Option<u64>,
    /// Collections until then.
    pub collections: Option<u64>,
    pub buckets: Extent,
    pub goroutines: Extent,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub walked: u64,
    /// How many there were; `None`: not known.
    pub of: Option<u64>,
    /// One in so many was meant to be looked at; 1: all.
    pub one_in: u64,
    /// Of those walked, not resident.
    pub unreadable: u64,
    pub stopped: Stopped,
}

impl Extent {
    /// All, or what was chosen evenly among all; hardly any of it unread.
    pub fn stands_for_all(&self) -> bool {
        let is_whole = self.of.is_some() && matches!(self.stopped, Stopped::End | Stopped::Count);
        is_whole && self.unreadable <= self.walked / 16
    }
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    End,
    Count,
    Time,
    Unreadable,
    RingFull,
    Implausible,
}

impl Stopped {
    /// The name in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Stopped::End => "end",
            Stopped::Count => "count",
            Stopped::Time => "time",
            Stopped::Unreadable => "unreadable",
            Stopped::RingFull => "ring_full",
            Stopped::Implausible => "implausible",
        }
    }
}
