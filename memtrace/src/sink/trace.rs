//! What a line of `memtrace trace` is made of, whatever its format.
use crate::event::Event;

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
}
