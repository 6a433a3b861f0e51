//! What a line of `memtrace trace` is made of, whatever its format.
use crate::event::{Event, MapOp, OomWhat, TaskWhat};

/// One frame of a user stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Absent: only the address inside `file` is known, or nothing.
    pub function: Option<String>,
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// An event and what the event alone does not know.
#[derive(Clone, Copy, Debug)]
pub struct TraceLine<'a> {
    pub event: &'a Event,
    pub comm: Option<&'a str>,
    /// Innermost first; `None`: no stack was asked for or none could be taken.
    pub stack: Option<&'a [Frame]>,
    /// What a Go runtime says as it ends its process; `None`: none does, or it says nothing that can be read.
    pub message: Option<&'a str>,
}

/// The words an event is called by; `None` for samples.
pub(super) fn family_and_op(event: &Event) -> Option<(&'static str, &'static str)> {
    Some(match event {
        Event::Advise(e) if e.process_madvise => ("advise", "process_madvise"),
        Event::Advise(_) => ("advise", "madvise"),
        Event::Map(e) => (
            "map",
            match e.op {
                MapOp::Mmap => "mmap",
                MapOp::Munmap => "munmap",
                MapOp::Mremap => "mremap",
                MapOp::Brk => "brk",
            },
        ),
        Event::Oom(e) => (
            "oom",
            match e.what {
                OomWhat::Kill { .. } => "kill",
                OomWhat::Victim { .. } => "victim",
            },
        ),
        Event::Reclaim(e) => ("reclaim", if e.memcg { "memcg" } else { "direct" }),
        Event::Task(e) => (
            "task",
            match e.what {
                TaskWhat::Fork { .. } => "fork",
                TaskWhat::Exec { .. } => "exec",
                TaskWhat::Exit { .. } => "exit",
                TaskWhat::Kill { .. } => "kill",
            },
        ),
        Event::Words(_) => ("oom", "last_words"),
        Event::Fatal(_) => ("task", "fatal"),
        Event::Pressure(e) => ("pressure", e.told.what.name()),
        // Only a black box asks for walks.
        Event::Walk(_) | Event::Sample(_) => return None,
    })
}
