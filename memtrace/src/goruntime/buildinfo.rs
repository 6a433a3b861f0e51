//! `.go.buildinfo` (Go cmd/link/internal/ld/data.go, debug/buildinfo): which Go built this file, and how.
use std::io;

use object::elf;

use super::image::Image;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HEADER_BYTES: usize = 32;
/// Flag: the strings follow inline (Go 1.18 and later).
const INLINE: u8 = 2;
const VERSION_MAX_BYTES: u64 = 1 << 10;
/// A module list longer than this is read no further; its build settings come last and stay unknown.
const MODULES_MAX_BYTES: u64 = 1 << 20;
/// A version or a commit.
const RELEASE_MAX_BYTES: usize = 128;
/// How much of the data segment is searched when the section headers are gone, as Go's own reader does.
const SEARCH_BYTES: u64 = 1 << 20;

/// What the linker wrote down about the build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildInfo {
    /// As `runtime.Version()`: `go1.26.6`, with experiments behind it.
    pub(crate) version: String,
    /// CGO_ENABLED, when the build settings were recorded.
    pub(crate) cgo: Option<bool>,
    /// Version of the main module, else the commit it was built from.
    pub(crate) release: Option<String>,
}

/// Why there is no `BuildInfo`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoBuildInfo {
    /// The file was not linked by Go.
    Absent,
    /// It was, but its build information cannot be read.
    Unreadable(&'static str),
}

impl BuildInfo {
    /// Three small reads when the file is not Go's.
    pub(crate) fn read(image: &Image) -> Result<BuildInfo, NoBuildInfo> {
        let offset = locate(image).ok_or(NoBuildInfo::Absent)?;
        let header = image.read(offset, HEADER_BYTES).map_err(|_| NoBuildInfo::Absent)?;
        if !header.starts_with(MAGIC) {
            return Err(NoBuildInfo::Absent);
        }
        if header[15] & INLINE == 0 {
            return Err(NoBuildInfo::Unreadable("build information of Go 1.17 or older"));
        }
        let broken = |_: io::Error| NoBuildInfo::Unreadable("damaged build information");
        let at = offset.saturating_add(HEADER_BYTES as u64);
        let (version, at) = read_string(image, at, VERSION_MAX_BYTES).map_err(broken)?;
        let version = String::from_utf8(version).map_err(|_| NoBuildInfo::Unreadable("damaged build information"))?;
        let settings = read_string(image, at, MODULES_MAX_BYTES).ok();
        let modules = settings.map(|(modules, _)| modules).unwrap_or_default();
        Ok(BuildInfo { version, cgo: cgo_setting(&modules), release: release(&modules) })
    }
}

/// File offset of the header.
fn locate(image: &Image) -> Option<u64> {
    if !image.sections.is_empty() {
        return image.section(".go.buildinfo").map(|s| s.offset);
    }
    // A position-independent program has two: what is only written by the loader comes first.
    image.parts(elf::PF_W).take(2).find_map(|data| {
        let bytes = image.read(data.offset, data.bytes.min(SEARCH_BYTES) as usize).ok()?;
        let at = (0..bytes.len()).step_by(16).find(|at| bytes[*at..].starts_with(MAGIC))?;
        data.offset.checked_add(at as u64)
    })
}

/// A varint length and as many bytes; also where the next one starts.
fn read_string(image: &Image, offset: u64, limit: u64) -> io::Result<(Vec<u8>, u64)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let mut head = Vec::with_capacity(10);
    let length = loop {
        head.extend(image.read(offset.checked_add(head.len() as u64).ok_or_else(invalid)?, 1)?);
        match uvarint(&head) {
            Some((value, _)) => break value,
            None if head.len() >= 10 => return Err(invalid()),
            None => {}
        }
    };
    if length > limit {
        return Err(invalid());
    }
    let start = offset.checked_add(head.len() as u64).ok_or_else(invalid)?;
    Ok((image.read(start, length as usize)?, start.checked_add(length).ok_or_else(invalid)?))
}

/// Value and size of the unsigned varint (Go encoding/binary) at the start of `bytes`.
pub(crate) fn uvarint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        let low = u64::from(byte & 0x7f);
        let shift = 7 * i as u32;
        if shift == 63 && low > 1 {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// `mod<TAB>example.org/web<TAB>v1.2.3<TAB>h1:...`; of a build from a checkout the version is `(devel)`, and there may be a
/// line `build<TAB>vcs.revision=...`.
fn release(modules: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty() && text.len() <= RELEASE_MAX_BYTES);
        text.filter(|text| text.chars().all(|c| c.is_ascii_graphic())).map(str::to_owned)
    };
    let mut lines = modules.split(|b| *b == b'\n');
    let version =
        lines.clone().find_map(|line| line.strip_prefix(b"mod\t")).and_then(|of| of.split(|b| *b == b'\t').nth(1));
    let version = version.filter(|version| *version != b"(devel)").and_then(text);
    version.or_else(|| lines.find_map(|line| line.strip_prefix(b"build\tvcs.revision=")).and_then(text))
}

/// The module list has lines `build<TAB>CGO_ENABLED=1`.
fn cgo_setting(modules: &[u8]) -> Option<bool> {
    let setting = modules.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"build\tCGO_ENABLED="))?;
    Some(setting == b"1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_the_version_of_the_module_else_the_commit() {
        let of = |text: &str| release(text.as_bytes());
        let rest = "dep\tother.org/lib\tv9.9.9\nbuild\tvcs=git\nbuild\tvcs.revision=0123abcd\n";
        assert_eq!(of(&format!("path\tx\nmod\tx.org/web\tv1.2.3\th1:sum=\n{rest}")).as_deref(), Some("v1.2.3"));
        assert_eq!(of(&format!("path\tx\nmod\tx.org/web\t(devel)\t\n{rest}")).as_deref(), Some("0123abcd"));
        assert_eq!(of("path\tx\nmod\tx.org/web\t(devel)\t\n"), None);
        assert_eq!(of("mod\tx.org/web\tv1\x1b[31m\n"), None);
        assert_eq!(of(""), None);
    }
}
