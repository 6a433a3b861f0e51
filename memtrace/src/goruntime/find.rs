//! From a pid to where its Go runtime is.
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::fatal::{FatalPoints, FileKey};
use super::file::{GoFile, Located};
use super::image::Image;
use super::maps::{FileId, read_maps};
use super::memory::ProcessMemory;
use super::runtime::{Runtime, RuntimeError};
use super::{GoProcess, NotRead};
use crate::procfs::process::Incarnation;

/// A counter set torn by the running target is read again, and an executable replaced by exec looked at again, at most
/// so often in all.
const ATTEMPTS: usize = 3;
/// Mapped files in which a Go runtime is looked for, per process that is no Go program itself; 20 µs each.
const LIBRARIES_MAX: usize = 1 << 12;
/// Files whose content is remembered; one more empties the cache.
const FILES_MAX: usize = 1 << 13;

/// What the process runs, and where its Go runtime is. Reads a few KiB when the process is not Go's.
///
/// Works across mount and pid namespaces as long as `tgid` is valid in this process's own.
pub fn find(tgid: u32) -> Result<GoProcess, NotRead> {
    Finder::default().find(tgid)
}

/// [`find`] for many processes: every file is read once. Bounded.
#[derive(Default)]
pub struct Finder {
    /// By device, inode and time of last change; `None`: not Go's.
    files: HashMap<FileKey, Option<Arc<GoFile>>>,
    fatal: HashMap<FileKey, FatalPoints>,
}

/// Where a Go file is in a process.
struct Mapped {
    file: Arc<GoFile>,
    load_bias: i64,
    key: FileKey,
    path: PathBuf,
}

impl Finder {
    pub fn find(&mut self, tgid: u32) -> Result<GoProcess, NotRead> {
        let mut identity = Incarnation::read(tgid).ok();
        for _ in 1..ATTEMPTS {
            let found = self.find_once(tgid);
            let now = Incarnation::read(tgid).ok();
            if now == identity {
                return found;
            }
            // It called exec meanwhile: the parts do not belong together.
            identity = now;
        }
        self.find_once(tgid)
    }

    fn find_once(&mut self, tgid: u32) -> Result<GoProcess, NotRead> {
        let Mapped { file, load_bias, .. } = self.mapped(tgid)?;
        let found = GoProcess { build: file.build.clone(), load_bias, located: None, refused: None, is_settled: true };
        Ok(match file.located.clone() {
            Err(reason) => GoProcess { refused: Some(reason), ..found },
            Ok(located) => moved(tgid, located, found),
        })
    }

    /// Where the process's runtime ends it.
    pub fn fatal_points(&mut self, tgid: u32) -> Result<FatalPoints, NotRead> {
        let Mapped { file, key, path, .. } = self.mapped(tgid)?;
        if let Some(points) = self.fatal.get(&key) {
            return Ok(FatalPoints { path, ..points.clone() });
        }
        let image = Image::open(&path).map_err(|error| classify(tgid, error))?;
        let points = FatalPoints::read(key, path, &image, file.version.as_ref());
        if self.fatal.len() >= FILES_MAX {
            self.fatal.clear();
        }
        self.fatal.insert(key, points.clone());
        Ok(points)
    }

    fn mapped(&mut self, tgid: u32) -> Result<Mapped, NotRead> {
        match self.executable(tgid) {
            Err(NotRead::NotGo) => self.library(tgid),
            other => other,
        }
    }

    fn executable(&mut self, tgid: u32) -> Result<Mapped, NotRead> {
        let opened = |error| classify(tgid, error);
        let path = exe_path(tgid);
        let key = key_of(&fs::metadata(&path).map_err(opened)?);
        let open = || Image::open(&path).map_err(opened);
        let file = self.read(key, open)?.ok_or(NotRead::NotGo)?;
        // Read again only for the few bytes of its header: the entry point is not kept.
        let load_bias = if file.build.pie { load_bias(tgid, &open()?)? } else { 0 };
        Ok(Mapped { file, load_bias, key, path })
    }

    /// A library made by `-buildmode=c-shared` in a program that is not Go's.
    fn library(&mut self, tgid: u32) -> Result<Mapped, NotRead> {
        let mappings = read_maps(tgid).map_err(|error| classify(tgid, error))?;
        let mut seen: HashSet<FileId> = HashSet::new();
        for mapping in mappings {
            if seen.len() == LIBRARIES_MAX || !seen.insert(mapping.file) {
                continue;
            }
            let Some(key) = mapping.metadata(tgid).map(|metadata| key_of(&metadata)) else { continue };
            let open = || mapping.open(tgid).map_err(|error| classify(tgid, error));
            let Ok(Some(file)) = self.read(key, open) else { continue };
            let image = open()?;
            let linked = mapping.link_address(&image, mapping.start).ok_or_else(|| refused("library mapped oddly"))?;
            let load_bias = mapping.start.wrapping_sub(linked).cast_signed();
            return Ok(Mapped { file, load_bias, key, path: mapping.map_file(tgid) });
        }
        Err(NotRead::NotGo)
    }

    fn read(
        &mut self,
        key: FileKey,
        open: impl Fn() -> Result<Image, NotRead>,
    ) -> Result<Option<Arc<GoFile>>, NotRead> {
        if let Some(known) = self.files.get(&key) {
            return Ok(known.clone());
        }
        let file = match open().and_then(|image| GoFile::read(&image)) {
            Ok(file) => Some(Arc::new(file)),
            Err(NotRead::NotGo) => None,
            Err(other) => return Err(other),
        };
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        self.files.insert(key, file.clone());
        Ok(file)
    }
}

pub(super) fn key_of(metadata: &fs::Metadata) -> FileKey {
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// With absolute addresses, if they hold what they should.
fn moved(tgid: u32, located: Located, found: GoProcess) -> GoProcess {
    let Some(globals) = located.globals.moved(found.load_bias) else {
        return GoProcess { refused: Some("address overflow".to_owned()), ..found };
    };
    let located = Located { globals, ..located };
    match Runtime::of(located.clone(), ProcessMemory { tgid }).validate() {
        Ok(()) => GoProcess { located: Some(located), ..found },
        // The layout is that of its version, and nothing speaks against it yet.
        Err(RuntimeError::NotStarted) => GoProcess { located: Some(located), is_settled: false, ..found },
        Err(error) => GoProcess { refused: Some(error.to_string()), is_settled: false, ..found },
    }
}

/// Run-time minus link-time addresses of the executable: its entry point as the kernel put it into the auxiliary
/// vector, against the file's. Equal to the start of its first mapping minus the page of the first PT_LOAD.
fn load_bias(tgid: u32, image: &Image) -> Result<i64, NotRead> {
    if !image.is_relocatable {
        return Ok(0);
    }
    let auxv = fs::read(format!("/proc/{tgid}/auxv")).map_err(|error| classify(tgid, error))?;
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let entry = auxv
        .chunks_exact(16)
        .find(|pair| word(&pair[..8]) == libc::AT_ENTRY)
        .map(|pair| word(&pair[8..]))
        .ok_or_else(|| refused("its program is only just being loaded"))?;
    let bias = entry.wrapping_sub(image.entry).cast_signed();
    if bias % ::procfs::page_size().cast_signed() != 0 {
        return Err(refused("the running image is not the file it was started from"));
    }
    Ok(bias)
}

/// The running executable: also when its file was deleted, replaced or is in another mount namespace.
pub(crate) fn exe_path(tgid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{tgid}/exe"))
}

fn refused(reason: &str) -> NotRead {
    NotRead::Refused(reason.to_owned())
}

/// What an I/O error about a process says about it.
fn classify(tgid: u32, error: io::Error) -> NotRead {
    let is_gone = crate::procfs::is_about_gone(tgid, &error);
    match error.kind() {
        _ if is_gone && is_kernel_thread(tgid) => NotRead::NotGo,
        _ if is_gone => NotRead::Vanished,
        ErrorKind::PermissionDenied => NotRead::NotPermitted,
        // No ELF file, or one shorter than its headers say.
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => NotRead::NotGo,
        _ => NotRead::Io(error),
    }
}

/// Alive, but without an executable; a zombie has none either.
fn is_kernel_thread(tgid: u32) -> bool {
    let stat = fs::read(format!("/proc/{tgid}/stat")).unwrap_or_default();
    let after_name = stat.iter().rposition(|b| *b == b')').and_then(|at| stat.get(at + 2));
    after_name.is_some_and(|state| !matches!(state, b'Z' | b'X'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_not_a_go_program() {
        assert!(matches!(find(std::process::id()), Err(NotRead::NotGo)));
    }

    #[test]
    fn a_dead_pid_has_vanished() {
        assert!(matches!(find(i32::MAX as u32), Err(NotRead::Vanished)));
    }

    #[test]
    fn a_zombie_has_vanished_and_a_kernel_thread_is_not_go() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        assert!(matches!(find(child.id()), Err(NotRead::Vanished)));
        child.wait().unwrap();
        // In a pid namespace of its own there are none.
        if fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
            assert!(matches!(find(2), Err(NotRead::NotGo | NotRead::NotPermitted)));
        }
    }

    #[test]
    fn own_load_bias_is_that_of_the_first_mapping() {
        let image = Image::open(&exe_path(std::process::id())).unwrap();
        let bias = load_bias(std::process::id(), &image).unwrap();
        let own = load_bias as fn(u32, &Image) -> Result<i64, NotRead> as usize as u64;
        assert!(image.offset_of(own.wrapping_add_signed(-bias)).is_some());
    }
}
