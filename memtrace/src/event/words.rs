use super::{GoCounters, Meta};

/// The last state of a process that SIGKILL ended, out of its own memory, as the first of its threads left.
#[derive(Clone, Debug, PartialEq)]
pub struct LastWords {
    pub meta: Meta,
    pub go: Option<GoCounters>,
    /// What was asked for, in no order.
    pub ranges: Vec<WordRange>,
}

/// Some bytes of the process, at an absolute address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordRange {
    pub address: u64,
    /// `None`: not resident at that moment.
    pub bytes: Option<Vec<u8>>,
    /// The process had never touched the page when it was last looked at: its bytes were zero.
    pub was_untouched: bool,
}
