//! From a pid to where its Go heap counters are.
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use object::elf;

use super::buildinfo::{BuildInfo, NoBuildInfo};
use super::image::{Image, Symbol};
use super::version::Version;
use super::{GoBuild, GoProcess, NotRead, ReadBy, memory};

/// Bytes from `heapInUse` to the end of `mappedReady`.
const COUNTERS_BYTES: u64 = 48;
/// A counter set torn by the running target is read again, and an executable replaced by exec looked at again, at most
/// so often in all.
const ATTEMPTS: usize = 3;

/// What the process runs, and where its heap counters are. Reads a few KiB when the process is not Go's.
///
/// Works across mount and pid namespaces as long as `tgid` is valid in this process's own.
pub fn find(tgid: u32) -> Result<GoProcess, NotRead> {
    let mut identity = exe_identity(tgid);
    for _ in 1..ATTEMPTS {
        let found = find_once(tgid);
        let now = exe_identity(tgid);
        if now == identity {
            return found;
        }
        // It called exec meanwhile: the parts do not belong together.
        identity = now;
    }
    find_once(tgid)
}

/// Device and inode of the running executable.
fn exe_identity(tgid: u32) -> Option<(u64, u64)> {
    fs::metadata(exe_path(tgid)).ok().map(|m| (m.dev(), m.ino()))
}

fn find_once(tgid: u32) -> Result<GoProcess, NotRead> {
    let image = match Image::open(&exe_path(tgid)) {
        Ok(image) => image,
        Err(error) => return Err(classify(tgid, error)),
    };
    let build = read_build(&image)?;
    let located = locate_counters(&image, &build).and_then(|link_address| {
        let load_bias = load_bias(tgid, &image)?;
        let address = link_address.checked_add_signed(load_bias).ok_or_else(|| refused("address overflow"))?;
        validate(tgid, address)?;
        Ok((load_bias, address))
    });
    match located {
        Ok((load_bias, address)) => {
            let read_by = Some(ReadBy::Symbols);
            Ok(GoProcess { build, load_bias, counters_address: Some(address), read_by, refused: None })
        }
        Err(NotRead::Refused(reason)) => {
            Ok(GoProcess { build, load_bias: 0, counters_address: None, read_by: None, refused: Some(reason) })
        }
        Err(other) => Err(other),
    }
}

/// What the linker wrote about the build; also for a file that is not running.
pub fn read_build(image: &Image) -> Result<GoBuild, NotRead> {
    let info = BuildInfo::read(image).map_err(|absent| match absent {
        NoBuildInfo::Absent => NotRead::NotGo,
        NoBuildInfo::Unreadable(reason) => refused(reason),
    })?;
    Ok(GoBuild {
        version: info.version,
        stripped: image.section(".symtab").is_none(),
        pie: image.is_relocatable,
        cgo: info.cgo,
    })
}

/// Address of `heapInUse` as linked, before any load bias.
fn locate_counters(image: &Image, build: &GoBuild) -> Result<u64, NotRead> {
    if !matches!(image.machine, elf::EM_X86_64 | elf::EM_AARCH64) {
        return Err(refused("only amd64 and arm64 layouts are known"));
    }
    let version = Version::parse(&build.version).ok_or_else(|| refused("unknown Go version"))?;
    let offset = version.counters_offset().map_err(NotRead::Refused)?;
    let controller = find_symbol(image, "runtime.gcController")?;
    if controller.bytes < offset + COUNTERS_BYTES {
        return Err(refused("runtime.gcController is smaller than its layout"));
    }
    controller.address.checked_add(offset).ok_or_else(|| refused("address overflow"))
}

/// The one defined symbol of that name in `.symtab`.
pub(crate) fn find_symbol(image: &Image, name: &str) -> Result<Symbol, NotRead> {
    let table = image.section(".symtab").ok_or_else(|| refused("stripped: no symbol table"))?;
    let strings = image.sections.get(table.link as usize).ok_or_else(|| refused("damaged symbol table"))?;
    let damaged = |error: io::Error| NotRead::Refused(format!("damaged symbol table: {error}"));
    let names = image.find_name(strings, name).map_err(damaged)?;
    let mut found: Option<Symbol> = None;
    let mut is_ambiguous = false;
    if !names.is_empty() {
        let visit = |symbol: Symbol| {
            if symbol.is_defined && names.contains(&symbol.name_offset) {
                is_ambiguous |= found.is_some_and(|other| other.address != symbol.address);
                found = Some(symbol);
            }
            true
        };
        image.for_each_symbol(&table, visit).map_err(damaged)?;
    }
    match found {
        Some(symbol) if !is_ambiguous => Ok(symbol),
        Some(_) => Err(NotRead::Refused(format!("more than one symbol {name}"))),
        None => Err(NotRead::Refused(format!("no symbol {name}"))),
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
        .ok_or_else(|| refused("no entry point in the auxiliary vector"))?;
    let bias = entry.wrapping_sub(image.entry).cast_signed();
    if bias % 4096 != 0 {
        return Err(refused("the running image is not the file it was started from"));
    }
    Ok(bias)
}

/// Reads the counters once to see that they can be what they are taken for.
fn validate(tgid: u32, address: u64) -> Result<(), NotRead> {
    let mut verdict = Ok(());
    for _ in 0..ATTEMPTS {
        let counters = memory::read_counters(tgid, address).map_err(|error| match error.raw_os_error() {
            Some(libc::EFAULT) => refused("the heap counters are not mapped"),
            _ => classify(tgid, error),
        })?;
        verdict = memory::check(&counters).map_err(NotRead::Refused);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
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
    let is_gone = matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT));
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
