//! A layout from a binary's own debug information: exact for the binary at hand, whatever its Go version is.
use std::collections::HashMap;
use std::io::{self, Read};

use flate2::read::ZlibDecoder;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfo, DebugInfoOffset,
    DebuggingInformationEntry, EndianSlice, LittleEndian, Reader as _, UnitHeader, UnitOffset,
};

use super::{Field, Layout};
use crate::goruntime::image::Image;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
type Entry<'a, 'u> = DebuggingInformationEntry<'u, 'u, Bytes<'a>>;

/// How much of `.debug_info` is looked at, in turn: Go puts all types into one of the first units.
const INFO_STEPS_BYTES: [u64; 3] = [1 << 20, 1 << 23, 1 << 24];
const ABBREV_MAX_BYTES: u64 = 1 << 20;
/// Of one unit; Go has one table of about 1 KiB for all its units, a C compiler one of as much for each.
const TABLE_MAX_BYTES: usize = 1 << 16;
/// Tables that are parsed: units may all point to the same large one.
const TABLES_MAX: usize = 1 << 10;
/// Typedefs behind each other, and structs within each other.
const DEPTH_MAX: usize = 16;

/// `Err`: what is missing.
pub fn from_dwarf(image: &Image) -> Result<Layout, String> {
    let missing = |name: &str| format!("no usable {name}");
    let abbrev = section(image, ".debug_abbrev", ABBREV_MAX_BYTES).map_err(|_| missing(".debug_abbrev"))?;
    let mut reason = String::new();
    let mut seen = 0;
    for limit in INFO_STEPS_BYTES {
        let info = section(image, ".debug_info", limit).map_err(|_| missing(".debug_info"))?;
        if info.len() == seen {
            break;
        }
        seen = info.len();
        match read(&info, &abbrev) {
            Ok(layout) => return Ok(layout),
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// The first `limit` bytes of a section, inflated.
fn section(image: &Image, name: &str, limit: u64) -> io::Result<Vec<u8>> {
    let (plain, section) = match image.section(name) {
        Some(section) if !section.is_compressed => (true, section),
        Some(section) => (false, section),
        None => return Err(io::ErrorKind::NotFound.into()),
    };
    if plain {
        return image.read(section.offset, section.bytes.min(limit) as usize);
    }
    // Elf64_Chdr: type (1: zlib), reserved, size, alignment.
    const HEADER_BYTES: u64 = 24;
    if image.read_u32(section.offset)? != object::elf::ELFCOMPRESS_ZLIB {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let packed = image.read(
        section.offset.checked_add(HEADER_BYTES).ok_or(io::ErrorKind::InvalidData)?,
        section.bytes.saturating_sub(HEADER_BYTES).min(limit) as usize,
    )?;
    let mut bytes = Vec::new();
    // What ends early was cut off above, or by `limit`: the units before the end are whole.
    match ZlibDecoder::new(&packed[..]).take(limit).read_to_end(&mut bytes) {
        Err(error) if bytes.is_empty() => Err(error),
        _ => Ok(bytes),
    }
}

fn read(info: &[u8], abbrev: &[u8]) -> Result<Layout, String> {
    let info = DebugInfo::new(info, LittleEndian);
    let mut wanted: Vec<&str> = Layout::fields().iter().map(|field| field.of).collect();
    wanted.dedup();
    let mut reason = "no Go types in the debug information".to_owned();
    let mut units = info.units();
    let (mut known, mut parsed) = (None, 0);
    while let Ok(Some(unit)) = units.next() {
        let at = unit.debug_abbrev_offset().0;
        if known.as_ref().is_none_or(|(of, _)| *of != at) {
            parsed += 1;
            known = table(abbrev, at).map(|table| (at, table));
        }
        if parsed > TABLES_MAX {
            break;
        }
        let Some((_, abbreviations)) = &known else { continue };
        let mut types = Types { unit, abbreviations, found: HashMap::new() };
        types.find(&wanted);
        if !types.found.is_empty() {
            match types.layout() {
                Ok(layout) => return Ok(layout),
                Err(error) => reason = error,
            }
        }
    }
    Err(reason)
}

fn table(abbrev: &[u8], at: usize) -> Option<Abbreviations> {
    let bytes = abbrev.get(at..)?;
    let bytes = bytes.get(..TABLE_MAX_BYTES).unwrap_or(bytes);
    DebugAbbrev::new(bytes, LittleEndian).abbreviations(DebugAbbrevOffset(0)).ok()
}

/// The wanted structures of one unit.
struct Types<'a, 't> {
    unit: UnitHeader<Bytes<'a>>,
    abbreviations: &'t Abbreviations,
    found: HashMap<&'static str, UnitOffset>,
}

impl<'a> Types<'a, '_> {
    fn find(&mut self, wanted: &[&'static str]) {
        let mut entries = self.unit.entries(self.abbreviations);
        let mut depth = 0;
        while let Ok(Some((step, entry))) = entries.next_dfs() {
            depth += step;
            if depth != 1 || entry.tag() != gimli::DW_TAG_structure_type {
                continue;
            }
            let Some(name) = name(entry) else { continue };
            if let Some(wanted) = wanted.iter().find(|wanted| is_named(name, wanted)) {
                self.found.entry(*wanted).or_insert(entry.offset());
            }
        }
    }

    fn layout(&self) -> Result<Layout, String> {
        let mut values = Vec::new();
        for field in Layout::fields() {
            let value = self.field(&field);
            if value.is_none() && !field.is_optional {
                return Err(format!("no {} in {}", field.path, field.of));
            }
            values.push(value);
        }
        let layout = Layout::from_values(values).filter(is_sane);
        layout.ok_or_else(|| "an incomplete layout, or one of structures that no release has".to_owned())
    }

    fn field(&self, field: &Field) -> Option<u32> {
        let root = *self.found.get(field.of)?;
        field.path.split('|').find_map(|path| {
            let value = match path.strip_suffix('#') {
                Some("") => self.size(root)?,
                Some(path) => self.size(self.walk(root, path)?.1)?,
                None => self.walk(root, path)?.0,
            };
            u32::try_from(value).ok()
        })
    }

    /// Offset and type of the member at the end of the path.
    fn walk(&self, root: UnitOffset, path: &str) -> Option<(u64, UnitOffset)> {
        path.split('.').take(DEPTH_MAX).try_fold((0u64, root), |(offset, of), name| {
            let (inside, member) = self.member(self.plain(of)?, name)?;
            Some((offset.checked_add(inside)?, member))
        })
    }

    fn member(&self, of: UnitOffset, name: &str) -> Option<(u64, UnitOffset)> {
        let mut tree = self.unit.entries_tree(self.abbreviations, Some(of)).ok()?;
        let mut members = tree.root().ok()?.children();
        while let Some(node) = members.next().ok()? {
            let entry = node.entry();
            if entry.tag() == gimli::DW_TAG_member && self::name(entry) == Some(name.as_bytes()) {
                return Some((number(entry, gimli::DW_AT_data_member_location)?, self.type_of(entry)?));
            }
        }
        None
    }

    /// What a typedef stands for.
    fn plain(&self, mut of: UnitOffset) -> Option<UnitOffset> {
        for _ in 0..DEPTH_MAX {
            let entry = self.unit.entry(self.abbreviations, of).ok()?;
            if entry.tag() != gimli::DW_TAG_typedef {
                return Some(of);
            }
            of = self.type_of(&entry)?;
        }
        None
    }

    fn size(&self, of: UnitOffset) -> Option<u64> {
        number(&self.unit.entry(self.abbreviations, self.plain(of)?).ok()?, gimli::DW_AT_byte_size)
    }

    fn type_of(&self, entry: &Entry<'a, '_>) -> Option<UnitOffset> {
        match entry.attr_value(gimli::DW_AT_type).ok()?? {
            AttributeValue::UnitRef(offset) => Some(offset),
            AttributeValue::DebugInfoRef(DebugInfoOffset(offset)) => DebugInfoOffset(offset).to_unit_offset(&self.unit),
            _ => None,
        }
    }
}

/// Whether fields are in their structures, and those that are read by the thousand as small as in every release. What
/// memory is read into follows from them.
fn is_sane(layout: &Layout) -> bool {
    let (mut bytes, mut is_inside) = (None, true);
    for (field, value) in Layout::fields().iter().zip(layout.values()) {
        bytes = if field.path == "#" { value } else { bytes };
        is_inside &= value.is_none_or(|value| Some(value) <= bytes);
    }
    let small = [layout.mspan.bytes, layout.g.bytes, layout.palloc_data.bytes, layout.page_cache.bytes];
    let others = [layout.mcache.bytes, layout.bucket.bytes, layout.mem_record.bytes];
    is_inside && small.iter().all(|bytes| *bytes <= 1 << 10) && others.iter().all(|bytes| *bytes <= 1 << 12)
}

/// A type without a name is called by its text in Go: `struct { first field …`.
fn is_named(name: &[u8], wanted: &str) -> bool {
    if wanted.starts_with("struct {") { name.starts_with(wanted.as_bytes()) } else { name == wanted.as_bytes() }
}

/// Go writes names into the entries themselves.
fn name<'a>(entry: &Entry<'a, '_>) -> Option<&'a [u8]> {
    match entry.attr_value(gimli::DW_AT_name).ok()?? {
        AttributeValue::String(text) => Some(text.slice()),
        _ => None,
    }
}

fn number(entry: &Entry<'_, '_>, attribute: gimli::DwAt) -> Option<u64> {
    match entry.attr_value(attribute).ok()?? {
        // Older ones write an offset as DW_OP_plus_uconst, ULEB128.
        AttributeValue::Exprloc(gimli::Expression(mut bytes)) | AttributeValue::Block(mut bytes) => {
            let is_sum = bytes.read_u8().ok()? == gimli::DW_OP_plus_uconst.0;
            is_sum.then(|| bytes.read_uleb128().ok())?
        }
        value => value.udata_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goruntime::Version;
    use crate::goruntime::layout::table::{known, look_up};

    #[test]
    fn every_release_is_sane_and_nothing_larger_is() {
        for (release, machine) in known() {
            let layout = *look_up(&Version::parse(&format!("go{release}")).unwrap(), machine).unwrap().layout;
            assert!(is_sane(&layout), "{release}");
            let (mut large, mut outside, mut apart) = (layout, layout, layout);
            large.mspan.bytes = 1 << 30;
            outside.g.stack = layout.g.bytes + 1;
            apart.mcache.alloc = u32::MAX;
            assert!([large, outside, apart].iter().all(|layout| !is_sane(layout)), "{release}");
        }
    }
}
