//! The Go runtime of one live process: where everything is in it, and that it is still the same process.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::globals::Globals;
use super::layout::Layout;
use super::layout::table::WaitReasons;
use super::memory::{Piece, ProcessMemory, ReadMemory};
use super::{GoProcess, Located, NotRead, ReadBy, Version, find};

/// Bits of an entry of /proc/PID/pagemap (kernel Documentation/admin-guide/mm/pagemap.rst).
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;

/// A located runtime. Reads metadata of the runtime only, never the target's objects.
#[derive(Debug)]
pub struct Runtime<M = PinnedMemory> {
    pub version: Version,
    pub layout: Arc<Layout>,
    /// Absolute addresses.
    pub globals: Globals,
    pub read_by: ReadBy,
    /// What `g.waitreason` counts; empty: not known for this release.
    pub wait_reasons: WaitReasons,
    pub memory: M,
}

impl<M> Runtime<M> {
    /// With absolute addresses.
    pub fn of(located: Located, memory: M) -> Runtime<M> {
        let Located { version, layout, globals, read_by, wait_reasons } = located;
        Runtime { version, layout, globals, read_by, wait_reasons, memory }
    }
}

impl Runtime {
    /// Finds the runtime of a process, sees that it is one, and holds on to its address space.
    pub fn attach(tgid: u32) -> Result<Runtime, NotRead> {
        Runtime::attach_to(tgid, &find(tgid)?)
    }

    /// The same for a process that was found before.
    pub fn attach_to(tgid: u32, found: &GoProcess) -> Result<Runtime, NotRead> {
        let refused = || NotRead::Refused(found.refused.clone().unwrap_or_default());
        let located = found.located.clone().ok_or_else(refused)?;
        let memory = PinnedMemory::open(tgid, located.counters_address()).map_err(RuntimeError::from)?;
        let runtime = Runtime::of(located, memory);
        runtime.validate()?;
        Ok(runtime)
    }
}

impl From<RuntimeError> for NotRead {
    fn from(error: RuntimeError) -> NotRead {
        match error {
            RuntimeError::Gone => NotRead::Vanished,
            RuntimeError::NotPermitted => NotRead::NotPermitted,
            RuntimeError::NotStarted | RuntimeError::Implausible(_) => NotRead::Refused(error.to_string()),
            RuntimeError::Io(error) => NotRead::Io(error),
        }
    }
}

/// Why something could not be read out of a runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("the process is gone, or has started another program")]
    Gone,
    #[error("not permitted: reading a process needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH")]
    NotPermitted,
    #[error("the Go runtime of this process has not started yet")]
    NotStarted,
    /// What was read cannot be true: torn by the running target, damaged, or not the layout it was taken for.
    #[error("unreadable: {0}")]
    Implausible(String),
    #[error("reading the process: {0}")]
    Io(#[source] io::Error),
}

/// The memory of one program in one process. After its exit or an exec every read fails, also when the pid is used
/// again: the open file holds on to the address space, not to the number.
#[derive(Debug)]
pub struct PinnedMemory {
    memory: ProcessMemory,
    space: File,
    pagemap: File,
    /// A mapped address.
    probe: u64,
}

impl PinnedMemory {
    /// `probe`: some address that stays mapped as long as the program runs, and is resident.
    pub fn open(tgid: u32, probe: u64) -> io::Result<PinnedMemory> {
        let [space, pagemap] = ["mem", "pagemap"].map(|name| File::open(format!("/proc/{tgid}/{name}")));
        let pinned = PinnedMemory { memory: ProcessMemory { tgid }, space: space?, pagemap: pagemap?, probe };
        pinned.check()?;
        Ok(pinned)
    }

    /// ESRCH when the address space is no longer that of a running program.
    fn check(&self) -> io::Result<()> {
        let mut byte = [0];
        match self.space.read_at(&mut byte, self.probe)? {
            1 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    pub fn tgid(&self) -> u32 {
        self.memory.tgid
    }
}

impl ReadMemory for PinnedMemory {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        let read = self.memory.read_pieces(pieces);
        // Alive after the read: it was alive, and owned the pid, during it.
        self.check()?;
        read
    }

    fn is_touched(&self, address: u64) -> io::Result<bool> {
        let mut entry = [0; 8];
        // Empty once the address space is gone.
        match self.pagemap.read_at(&mut entry, address / procfs::page_size() * 8)? {
            8 => Ok(u64::from_le_bytes(entry) & (PRESENT | SWAPPED) != 0),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }
}

impl From<io::Error> for RuntimeError {
    fn from(error: io::Error) -> RuntimeError {
        match error.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => RuntimeError::Gone,
            Some(libc::EPERM | libc::EACCES) => RuntimeError::NotPermitted,
            Some(libc::EFAULT) => RuntimeError::Implausible("a pointer to unmapped memory".to_owned()),
            _ if error.kind() == io::ErrorKind::UnexpectedEof => {
                RuntimeError::Implausible("a pointer to unmapped memory".to_owned())
            }
            _ => RuntimeError::Io(error),
        }
    }
}
