//! Where a Go runtime ends its process: the functions of it that never return (Go runtime/panic.go).
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::file::read_build;
use super::find::key_of;
use super::image::Image;
use super::maps::read_maps;
use super::pclntab::Pclntab;
use super::version::Version;
use crate::procfs::OWN_EXE;

/// The runtime finds itself broken, or out of memory.
pub const THROW: &str = "runtime.throw";
/// The program misused it. Since Go 1.19.
pub const FATAL: &str = "runtime.fatal";
/// A panic that nobody recovered.
pub const PANIC: &str = "runtime.fatalpanic";

pub const FUNCTIONS: [&str; 3] = [THROW, FATAL, PANIC];

/// A file: device, inode, time of last change.
pub type FileKey = (u64, u64, i64, i64);

/// Those functions in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FatalPoints {
    pub file: FileKey,
    /// A way to it.
    pub path: PathBuf,
    /// File offsets of those that it has.
    pub functions: Vec<(&'static str, u64)>,
    /// `_panic` begins with `argp`, as before Go 1.26, and not with the panic's value.
    pub is_argp_first: bool,
}

impl FatalPoints {
    pub(super) fn read(file: FileKey, path: PathBuf, image: &Image, version: Option<&Version>) -> FatalPoints {
        let wanted = BTreeSet::from(FUNCTIONS);
        let found = Pclntab::read(image).map(|table| table.find_functions(image, &wanted)).unwrap_or_default();
        let functions = found.into_iter().filter_map(|(name, code)| Some((name, image.offset_of(code.start)?)));
        let is_argp_first = version.is_some_and(|version| version.minor < 26);
        FatalPoints { file, path, functions: functions.collect(), is_argp_first }
    }

    /// Of a program that does not run yet; `None`: not Go's.
    pub fn of_file(path: &Path) -> Option<FatalPoints> {
        let key = key_of(&fs::metadata(path).ok()?);
        let image = Image::open(path).ok()?;
        let version = Version::parse(&read_build(&image).ok()?.version);
        Some(FatalPoints::read(key, path.to_path_buf(), &image, version.as_ref()))
    }

    /// As if the function at an address in memtrace's own executable were one of them.
    pub fn of_own(function: &'static str, address: u64) -> Option<FatalPoints> {
        let mappings = read_maps(std::process::id()).ok()?;
        let mapping = mappings.iter().find(|mapping| mapping.start <= address && address < mapping.end)?;
        let functions = vec![(function, (address - mapping.start).checked_add(mapping.offset)?)];
        Some(FatalPoints { file: (0, 0, 0, 0), path: OWN_EXE.into(), functions, is_argp_first: false })
    }
}
