//! What a Go executable says before it runs.
use std::sync::Arc;

use super::buildinfo::{BuildInfo, NoBuildInfo};
use super::globals::Globals;
use super::image::Image;
use super::layout::table::WaitReasons;
use super::layout::{Layout, dwarf, table};
use super::version::Version;
use super::{GoBuild, NotRead, ReadBy, locate};

/// A Go executable or shared library.
#[derive(Clone, Debug)]
pub struct GoFile {
    pub build: GoBuild,
    pub version: Option<Version>,
    /// `Err`: why its runtime cannot be read.
    pub located: Result<Located, String>,
}

/// Where everything is in a runtime.
#[derive(Clone, Debug)]
pub struct Located {
    pub version: Version,
    pub layout: Arc<Layout>,
    pub globals: Globals,
    pub read_by: ReadBy,
    /// Empty: not known for this release.
    pub wait_reasons: WaitReasons,
}

impl Located {
    /// Address of the six contiguous u64 of `runtime.gcController` (Go mgcpacer.go): heapInUse, heapReleased, heapFree,
    /// totalAlloc, totalFree, mappedReady.
    pub fn counters_address(&self) -> u64 {
        self.globals.gc_controller.saturating_add(self.layout.gc.heap_in_use.into())
    }

    /// Link-time addresses, and the layout, of a file by that version. Its own debug information goes before any table.
    /// `Err`: why not.
    pub fn in_file(image: &Image, version: &Version) -> Result<Located, String> {
        let entry = table::look_up(version, image.machine);
        let taught = dwarf::from_dwarf(image);
        let symbols = locate::by_symbols(image);
        let wait_reasons = entry.as_ref().map(|entry| Arc::clone(&entry.wait_reasons)).unwrap_or_default();
        let located =
            |layout, globals, read_by| Ok(Located { version: version.clone(), layout, globals, read_by, wait_reasons });
        match (taught, entry, symbols) {
            (Ok(layout), _, Ok(globals)) => located(Arc::new(layout), globals, ReadBy::Dwarf),
            (_, Err(reason), _) => Err(reason),
            (_, Ok(entry), Ok(globals)) => located(Arc::clone(&entry.layout), entry.trusted(globals), ReadBy::Table),
            (_, Ok(entry), Err(_)) => {
                let globals = locate::by_vote(image, &entry.signature)?;
                located(Arc::clone(&entry.layout), entry.trusted(globals), ReadBy::Vote)
            }
        }
    }
}

impl GoFile {
    /// A few small reads when the file is not Go's.
    pub fn read(image: &Image) -> Result<GoFile, NotRead> {
        let build = read_build(image)?;
        let version = Version::parse(&build.version);
        let located = match &version {
            Some(version) => Located::in_file(image, version),
            None => Err(format!("unknown Go version {}", build.version)),
        };
        Ok(GoFile { build, version, located })
    }
}

/// What the linker wrote about the build.
pub fn read_build(image: &Image) -> Result<GoBuild, NotRead> {
    let info = BuildInfo::read(image).map_err(|absent| match absent {
        NoBuildInfo::Absent => NotRead::NotGo,
        NoBuildInfo::Unreadable(reason) => NotRead::Refused(reason.to_owned()),
    })?;
    Ok(GoBuild {
        version: info.version,
        stripped: image.section(".symtab").is_none(),
        pie: image.is_relocatable,
        cgo: info.cgo,
        release: info.release,
    })
}
