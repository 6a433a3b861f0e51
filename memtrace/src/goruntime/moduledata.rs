//! Where Go's tables are in an executable: `.gopclntab`, and the base addresses in `moduledata` (Go
//! runtime/symtab.go) that its entries count from. Both survive stripping.
use std::ops::Range;

use object::elf;

use super::buildinfo::BuildInfo;
use super::image::{Image, Section};
use super::locate;
use super::version::Version;

/// `moduledata.text`, in every version from 1.19 to 1.27.
const TEXT: u64 = 176;
/// `moduledata.noptrdata`, likewise.
const DATA: u64 = 192;
/// No program has more initialised and zeroed data.
const DATA_MAX_BYTES: u64 = 1 << 34;

/// The parts of the file a lookup needs.
pub(crate) struct Tables {
    pub(crate) pclntab: Section,
    /// Link-time address all entries of the function table count from.
    pub(crate) text: u64,
    /// Link-time address of `go:func.*`, the base of funcdata; `None`: this version's moduledata was never measured.
    pub(crate) go_func: Option<u64>,
    /// Link-time addresses of all Go variables: from `noptrdata` to `enoptrbss`.
    pub(crate) data: Option<Range<u64>>,
}

/// The first eight bytes of a pclntab of Go 1.18 (0xfffffff0) or 1.20 and later (0xfffffff1), 64-bit, for amd64 (1) or
/// arm64 (4).
fn is_pclntab(word: u64) -> bool {
    let (magic, sizes) = (word as u32, word >> 32);
    matches!(magic, 0xffff_fff0 | 0xffff_fff1) && matches!(sizes, 0x0801_0000 | 0x0804_0000)
}

impl Tables {
    pub(crate) fn locate(image: &Image) -> Option<Tables> {
        let pclntab = locate_pclntab(image)?;
        let module = locate_moduledata(image, pclntab.address);
        let is_code = |address: &u64| image.segments.iter().any(|s| s.flags & elf::PF_X != 0 && s.contains(*address));
        // In the header up to Go 1.25.
        let in_header = || image.relocated_u64(pclntab.address.checked_add(24)?).filter(is_code);
        let in_module = || image.relocated_u64(module?.checked_add(TEXT)?).filter(is_code);
        let text = in_header().or_else(in_module)?;
        // Without a module whose text agrees with the header, its other fields mean nothing.
        let module = module.filter(|_| in_module() == Some(text));
        let in_symbols = || locate::symbols(image, &["go:func.*"]).ok()?.get("go:func.*").copied().flatten();
        let in_module = || image.relocated_u64(module?.checked_add(go_func_offset(image)?)?);
        let data = module.and_then(|module| data_range(image, module));
        Some(Tables { pclntab, text, go_func: in_module().or_else(in_symbols), data })
    }
}

/// Its pairs of addresses (Go runtime/symtab.go) `noptrdata`, `data`, `bss`, `noptrbss`: in that order in memory.
fn data_range(image: &Image, module: u64) -> Option<Range<u64>> {
    let bounds = image.relocated::<8>(module.checked_add(DATA)?)?;
    let is_sane = bounds.chunks(2).all(|pair| pair[0] <= pair[1]);
    let start = bounds.iter().step_by(2).copied().min()?;
    let end = bounds.iter().copied().max()?;
    (is_sane && end - start < DATA_MAX_BYTES).then_some(start..end)
}

/// Offset of `moduledata.gofunc`, measured on amd64 and arm64.
fn go_func_offset(image: &Image) -> Option<u64> {
    let version = Version::parse(&BuildInfo::read(image).ok()?.version).filter(|v| !v.is_devel)?;
    match version.minor {
        19 => Some(304),
        21..=26 => Some(320),
        27 => Some(344),
        _ => None,
    }
}

fn locate_pclntab(image: &Image) -> Option<Section> {
    let named = image.section(".gopclntab").or_else(|| image.section(".data.rel.ro.gopclntab"));
    if named.is_some() {
        return named.filter(|s| image.read_u64(s.offset).is_ok_and(is_pclntab));
    }
    if image.sections.is_empty() {
        return image.parts(elf::PF_R).find_map(|part| part.behind(image.find_word(&part, is_pclntab)?));
    }
    // A C linker merges it into the relocated constants of a PIE.
    let merged = image.section(".data.rel.ro")?;
    BuildInfo::read(image).ok()?;
    merged.behind(image.find_word(&merged, is_pclntab)?)
}

/// Link-time address of the main module's data: a section of its own from Go 1.26 on, else the one place in the
/// writable data that points to the pclntab.
fn locate_moduledata(image: &Image, pclntab: u64) -> Option<u64> {
    if let Some(module) = image.section(".go.module") {
        return Some(module.address);
    }
    if let Some(address) = image.find_relocation(pclntab) {
        return Some(address);
    }
    let named = [".noptrdata", ".data"].iter().filter_map(|name| image.section(name));
    let without_headers = image.sections.is_empty().then(|| image.parts(elf::PF_W)).into_iter().flatten();
    named
        .chain(without_headers)
        .find_map(|section| section.address.checked_add(image.find_word(&section, |word| word == pclntab)?))
}
