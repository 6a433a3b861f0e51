//! The Go runtime of an unmodified process, from outside: which Go built it, where its heap counters are, what its
//! code addresses mean. Executables and the memory of targets are untrusted: every parser here is total and bounded.
mod buildinfo;
mod bytes;
mod check;
mod elfsym;
#[cfg(any(test, fuzzing))]
mod fake;
pub mod fatal;
mod figures;
mod file;
mod find;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod globals;
pub mod goroutines;
pub mod heapprofile;
pub mod image;
pub mod layout;
mod locate;
mod maps;
pub mod mcache;
pub mod memory;
pub mod memstats;
pub mod metadata;
pub mod mheap;
mod moduledata;
pub mod pages;
mod pclntab;
mod recall;
mod relocations;
mod runtime;
pub mod sample;
pub mod spans;
mod statics;
mod symbol;
#[cfg(test)]
mod tests;
mod version;
mod walk;
mod words;

pub use figures::GoFigures;
pub use file::{GoFile, Located, read_build};
pub use find::{Finder, find};
pub use globals::Globals;
pub use memstats::MemStats;
pub use runtime::{Runtime, RuntimeError};
pub use sample::{Sample, Sampler};
pub use symbol::{Frame, Symbolizer};
pub use version::Version;
pub use walk::{Walked, plan_walk};
pub use words::{plan_words, sample_of_words};

/// A process that runs Go code.
#[derive(Clone, Debug)]
pub struct GoProcess {
    pub build: GoBuild,
    /// Run-time minus link-time addresses of the file with the runtime; 0 when it is not relocatable.
    pub load_bias: i64,
    /// Absolute addresses. `None`: see `refused`.
    pub located: Option<Located>,
    /// Why the runtime of this Go process is not read.
    pub refused: Option<String>,
    /// Another look will say the same. False: it has only just started, or did not hold still.
    pub is_settled: bool,
}

/// What the linker wrote into a Go executable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoBuild {
    /// As `runtime.Version()`: `go1.26.6`, with experiments behind it.
    pub version: String,
    /// Without `.symtab`.
    pub stripped: bool,
    pub pie: bool,
    /// `None`: the build settings were not recorded.
    pub cgo: Option<bool>,
    /// Version of the main module, else the commit it was built from; `None`: not recorded.
    pub release: Option<String>,
}

/// How a runtime's layout and addresses were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// Layout from the file's own debug information, addresses from its symbols.
    Dwarf,
    /// Addresses from its symbols, layout from the table of its Go version.
    Table,
    /// Stripped: addresses by vote over the references in its code, layout from the table.
    Vote,
}

impl ReadBy {
    /// The name in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadBy::Dwarf => "dwarf",
            ReadBy::Table => "table",
            ReadBy::Vote => "vote",
        }
    }
}

/// Why a process cannot be read as Go.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    #[error("not a Go program")]
    NotGo,
    /// Go, but not even its version can be told; or, inside this room, the counters cannot be.
    #[error("Go program refused: {0}")]
    Refused(String),
    #[error("the process is gone")]
    Vanished,
    #[error("not permitted: reading a process needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")]
    NotPermitted,
    #[error("reading the process: {0}")]
    Io(#[source] std::io::Error),
}

impl NotRead {
    /// For a place where it is clear that it is about reading a Go program.
    pub fn reason(self) -> String {
        match self {
            NotRead::Refused(reason) => reason,
            other => other.to_string(),
        }
    }
}
