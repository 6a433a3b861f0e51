use super::{GoCounters, Meta};

/// A Go runtime ends its process.
#[derive(Clone, Debug, PartialEq)]
pub struct FatalEvent {
    pub meta: Meta,
    pub what: FatalWhat,
    pub text: FatalText,
    /// Code addresses, innermost first: who called the function that does not return, and so on.
    pub stack: Vec<u64>,
    pub go: Option<GoCounters>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatalWhat {
    /// The runtime finds itself broken, or out of memory.
    Throw,
    /// The program misused it.
    Fatal,
    /// A panic that nobody recovered.
    Panic,
}

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FatalText {
    /// Of the string (pointer and length) in the value of a panic; `None`: it is no string, or this is no panic.
    pub string_address: Option<u64>,
    pub address: Option<u64>,
    pub length_bytes: Option<u64>,
    /// The beginning of it; `None`: its page was not resident.
    pub bytes: Option<Vec<u8>>,
}

impl FatalWhat {
    pub fn name(self) -> &'static str {
        match self {
            FatalWhat::Throw => "throw",
            FatalWhat::Fatal => "fatal",
            FatalWhat::Panic => "panic",
        }
    }

    /// What Go itself writes before the text.
    pub fn title(self) -> &'static str {
        match self {
            FatalWhat::Throw | FatalWhat::Fatal => "fatal error",
            FatalWhat::Panic => "panic",
        }
    }
}
