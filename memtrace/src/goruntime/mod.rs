//! The Go runtime of an unmodified process, from outside: which Go built it, where its heap counters are, what its
//! code addresses mean. Executables and the memory of targets are untrusted: every parser here is total and bounded.
mod buildinfo;
mod elfsym;
mod find;
#[cfg(fuzzing)]
pub mod fuzz;
mod globals;
pub mod image;
pub mod layout;
mod maps;
pub mod memory;
mod moduledata;
mod pclntab;
mod runtime;
mod symbol;
#[cfg(test)]
mod tests;
mod version;

pub use find::{find, read_build};
pub use globals::Globals;
pub use runtime::{Runtime, RuntimeError};
pub use symbol::{Frame, Symbolizer};
pub use version::Version;

/// A process that runs Go code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoProcess {
    pub build: GoBuild,
    /// Run-time minus link-time addresses of the executable; 0 when it is not a PIE or was refused.
    pub load_bias: i64,
    /// Absolute address of the six contiguous u64 of `runtime.gcController` (Go mgcpacer.go): heapInUse,
    /// heapReleased, heapFree, totalAlloc, totalFree, mappedReady. `None`: see `refused`.
    pub counters_address: Option<u64>,
    /// How that address was found.
    pub read_by: Option<ReadBy>,
    /// Why the counters of this Go process are not read.
    pub refused: Option<String>,
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
}

/// How the address of the counters was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBy {
    /// ELF symbol table, and a table of layouts by Go version.
    Symbols,
}

impl ReadBy {
    /// The name in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            ReadBy::Symbols => "symbols",
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
    #[error("not permitted: reading a process needs root or CAP_SYS_PTRACE")]
    NotPermitted,
    #[error("reading the process: {0}")]
    Io(#[source] std::io::Error),
}
