//! Thin typed readers of /proc: one call, one file, sizes in bytes, times in ns. No cache, no policy; only [`kept`] keeps files open.
pub mod cgroup;
pub mod clock;
mod entries;
pub mod frames;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod host;
mod hugezero;
pub mod kept;
pub mod own;
pub mod pagemap;
pub mod process;
pub mod psi;
mod scan;
pub mod smaps;
pub mod vmas;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// memtrace's own executable, even when its file has been replaced.
pub const OWN_EXE: &str = "/proc/self/exe";

#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// No such process, or it is a zombie whose memory is gone, or it went between two reads.
    #[error("process {pid} is gone")]
    Vanished { pid: u32 },
    #[error("/proc/{pid}/{file}: not readable by this user")]
    Denied { pid: u32, file: &'static str },
    #[error("/proc/{pid}/{file}: {source}")]
    Read { pid: u32, file: &'static str, source: io::Error },
    #[error("/proc/{pid}/{file}: unexpected text")]
    Syntax { pid: u32, file: &'static str },
    #[error("/proc: {0}")]
    List(io::Error),
}

/// A file that the kernel makes up as it is read: it has no size to ask for, and few have more than this.
const WHOLE_BYTES: usize = 4096;

/// All of it in two reads, where the standard library feels its way from 32 bytes on.
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(WHOLE_BYTES);
    File::open(path)?.take(u64::MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Of a file that the kernel makes up as one record, anew whenever it is read from its start (proc_single_show): what is
/// not filled by it is its end.
pub(crate) fn record<T>(file: &File, parse: impl FnOnce(&str) -> T) -> io::Result<T> {
    let mut record = [0; WHOLE_BYTES];
    let bytes = file.read_at(&mut record, 0)?;
    let mut whole = Cow::Borrowed(&record[..bytes]);
    let mut last = bytes;
    // What comes next is of the same record.
    while last > 0 && whole.len().is_multiple_of(WHOLE_BYTES) {
        let mut more = [0; WHOLE_BYTES];
        last = file.read_at(&mut more, whole.len() as u64)?;
        whole.to_mut().extend_from_slice(&more[..last]);
    }
    Ok(parse(&String::from_utf8_lossy(&whole)))
}

/// `ESRCH`: the task is there, its memory or the rest of it is not.
const ESRCH: i32 = 3;

fn path(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

fn error(pid: u32, file: &'static str, source: io::Error) -> ProcError {
    match source.kind() {
        _ if is_about_gone(pid, &source) => ProcError::Vanished { pid },
        io::ErrorKind::PermissionDenied => ProcError::Denied { pid, file },
        _ => ProcError::Read { pid, file, source },
    }
}

/// Whether the error says that the process has ended. Of one that ends just then the kernel also says that its links may
/// not be followed.
pub fn is_about_gone(pid: u32, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::NotFound => true,
        io::ErrorKind::PermissionDenied => !path(pid, "stat").exists(),
        _ => error.raw_os_error() == Some(ESRCH),
    }
}

/// A file of a process; bytes that are not UTF-8 (a comm may hold any) are replaced.
fn text(pid: u32, file: &'static str) -> Result<String, ProcError> {
    read_whole(&path(pid, file)).map(lossy).map_err(|e| error(pid, file, e))
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|why| String::from_utf8_lossy(why.as_bytes()).into_owned())
}

/// Value of a `Key:   123 kB` line, in bytes.
fn kib_line(text: &str, key: &str) -> Option<u64> {
    kib(line(text, key)?)
}

/// `123 kB`, in bytes.
fn kib(value: &str) -> Option<u64> {
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Value of a `Key:   value` line.
fn line<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

/// A number in /proc/self/fdinfo, see proc_pid_fdinfo(5).
pub fn own_fdinfo(fd: i32, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
    line(&text, key)?.parse().ok()
}

/// Process ids under `directory`: entries whose name is a number.
fn numbers(directory: &Path) -> io::Result<impl Iterator<Item = u32>> {
    let entries = std::fs::read_dir(directory)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// Every process (thread group) visible now, in the order of /proc.
pub fn pids() -> Result<impl Iterator<Item = u32>, ProcError> {
    numbers(Path::new("/proc")).map_err(ProcError::List)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Above `pid_max` on every kernel (2^22).
    pub(super) const NOBODY: u32 = 1 << 30;

    #[test]
    fn every_pid_listed_includes_this_process() {
        assert!(pids().unwrap().any(|pid| pid == std::process::id()));
    }

    #[test]
    fn a_record_of_any_length_is_read_whole() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [0, 1, WHOLE_BYTES - 1, WHOLE_BYTES, WHOLE_BYTES + 1, 3 * WHOLE_BYTES] {
            let text = "x".repeat(bytes);
            std::fs::write(file.path(), &text).unwrap();
            assert_eq!(record(file.as_file(), str::to_owned).unwrap(), text);
        }
    }

    #[test]
    fn errors_name_the_cause() {
        assert!(matches!(text(NOBODY, "status"), Err(ProcError::Vanished { pid: NOBODY })));
        let denied = |pid| error(pid, "exe", io::Error::from_raw_os_error(13));
        assert!(matches!(denied(std::process::id()), ProcError::Denied { file: "exe", .. }));
        assert!(matches!(denied(NOBODY), ProcError::Vanished { pid: NOBODY }));
        assert!(matches!(error(7, "exe", io::Error::from_raw_os_error(ESRCH)), ProcError::Vanished { pid: 7 }));
    }

    #[test]
    fn lines_are_found_by_whole_key() {
        let text = "VmRSSx:\t9 kB\nVmRSS:\t  12 kB\nThreads:\t3\nHuge:\t18446744073709551615 kB\n";
        assert_eq!(kib_line(text, "VmRSS"), Some(12 * 1024));
        assert_eq!(kib_line(text, "Vm"), None);
        assert_eq!(kib_line(text, "Threads"), None);
        assert_eq!(kib_line(text, "Huge"), None);
        assert_eq!(line(text, "Threads"), Some("3"));
    }
}
