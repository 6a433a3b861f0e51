//! Which file each code address of a process belongs to.
//!
//! Own parser: the procfs crate's panics on a mapped file that calls itself `/SYSV` and fails on a name that is not
//! UTF-8, and a target chooses the names of its files.
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::find::exe_path;
use super::image::Image;

/// More executable file mappings than this are not remembered.
const MAPPINGS_MAX: usize = 1 << 13;

/// One executable mapping of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Of `start` in the file.
    pub(crate) offset: u64,
    pub(crate) file: FileId,
    path: PathBuf,
}

/// Device and inode as /proc/PID/maps prints them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    device: (u32, u32),
    inode: u64,
}

/// Executable file mappings, in ascending order.
pub(crate) fn read_maps(tgid: u32) -> io::Result<Vec<Mapping>> {
    parse_maps(BufReader::new(File::open(format!("/proc/{tgid}/maps"))?))
}

pub(super) fn parse_maps(mut text: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut mappings = Vec::new();
    let mut line = Vec::new();
    while mappings.len() < MAPPINGS_MAX {
        line.clear();
        if text.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        mappings.extend(parse_line(&line));
    }
    Ok(mappings)
}

/// `start-end perms offset major:minor inode path`; `None` for anything but an executable file mapping.
fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.trim_ascii_end().splitn(6, |b| *b == b' ');
    let mut field = || fields.next();
    let (range, perms, offset, device, inode) = (field()?, field()?, field()?, field()?, field()?);
    let path = field().unwrap_or_default().trim_ascii_start();
    if perms.get(2) != Some(&b'x') {
        return None;
    }
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let (start, end) = text(range)?.split_once('-')?;
    let (major, minor) = text(device)?.split_once(':')?;
    let inode = text(inode)?.parse().ok().filter(|inode| *inode != 0)?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        offset: u64::from_str_radix(text(offset)?, 16).ok()?,
        file: FileId { device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?), inode },
        path: PathBuf::from(OsString::from_vec(path.to_vec())),
    })
}

impl Mapping {
    pub(super) fn map_file(&self, tgid: u32) -> PathBuf {
        PathBuf::from(format!("/proc/{tgid}/map_files/{:x}-{:x}", self.start, self.end))
    }

    /// Of the mapped file; `None` where the caller has no right to it.
    pub(crate) fn metadata(&self, tgid: u32) -> Option<fs::Metadata> {
        fs::metadata(self.map_file(tgid)).ok()
    }

    /// The mapped file itself: also a deleted one, and one of another mount namespace.
    pub(crate) fn open(&self, tgid: u32) -> io::Result<Image> {
        if let Ok(image) = Image::open(&self.map_file(tgid)) {
            return Ok(image);
        }
        // map_files needs CAP_CHECKPOINT_RESTORE; these need only ptrace access.
        if fs::read_link(exe_path(tgid))? == self.path {
            return Image::open(&exe_path(tgid));
        }
        let inside = self.path.strip_prefix("/").unwrap_or(&self.path);
        Image::open(&Path::new(&format!("/proc/{tgid}/root")).join(inside))
    }

    /// The file's own (link-time) address of a run-time address.
    pub(crate) fn link_address(&self, image: &Image, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.start)?.checked_add(self.offset)?;
        let loads = image.segments.iter().filter(|s| s.kind == object::elf::PT_LOAD);
        let inside = |s: &super::image::Segment| offset.checked_sub(s.offset).filter(|at| *at < s.file_bytes);
        // Two segments may share a page of the file; the code is in the executable one.
        let executable = loads.filter(|s| s.flags & object::elf::PF_X != 0);
        executable.filter_map(|s| s.address.checked_add(inside(s)?)).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &[u8] = b"00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a b\n\
        00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/a b\n\
        7f00-7f10 r-xp 00000000 fd:00 7 /SYSV1\n\
        7f20-7f30 r-xp 00000000 00:00 0 [vdso]\n\
        7f40-7f50 r-xp 00000000 fd:00 8 /x/\xff\n\
        garbage\n\n7f60 r-xp\n-  x : 1\n";

    #[test]
    fn only_executable_file_mappings_are_kept() {
        let maps = parse_maps(MAPS).unwrap();
        assert_eq!(maps.iter().map(|m| m.start).collect::<Vec<_>>(), [0x400000, 0x7f00, 0x7f40]);
        assert_eq!(maps[0].path, Path::new("/usr/bin/a b"));
        assert_eq!((maps[0].offset, maps[0].file.inode), (0x1000, 173521));
    }

    #[test]
    fn every_prefix_of_a_maps_file_is_parsed() {
        for end in 0..MAPS.len() {
            parse_maps(&MAPS[..end]).unwrap();
        }
    }

    #[test]
    fn own_code_is_in_a_mapping() {
        let address = read_maps as fn(u32) -> io::Result<Vec<Mapping>> as usize as u64;
        let maps = read_maps(std::process::id()).unwrap();
        assert!(maps.iter().any(|m| m.start <= address && address < m.end));
    }
}
