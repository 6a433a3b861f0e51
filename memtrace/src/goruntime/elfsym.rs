//! Function names from ELF symbol tables, for code that is not Go's: no files, no lines.
use super::image::{Image, Section};

/// Symbols remembered per file, 24 bytes each: 12 MiB at most.
const SYMBOLS_MAX: usize = 1 << 19;
const NAME_MAX_BYTES: usize = 1 << 10;

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    bytes: u64,
    name_offset: u32,
}

/// The functions of `.symtab`, or of `.dynsym` when the file is stripped, by address.
pub(crate) struct ElfSymbols {
    entries: Vec<Entry>,
    strings: Option<Section>,
}

impl ElfSymbols {
    /// A missing or damaged table is an empty one.
    pub(crate) fn read(image: &Image) -> ElfSymbols {
        let mut entries = Vec::new();
        let table = image.section(".symtab").or_else(|| image.section(".dynsym"));
        if let Some(table) = &table {
            let _ = image.for_each_symbol(table, |s| {
                if s.is_function && s.is_defined {
                    entries.push(Entry { address: s.address, bytes: s.bytes, name_offset: s.name_offset });
                }
                entries.len() < SYMBOLS_MAX
            });
        }
        entries.sort_unstable_by_key(|e| (e.address, e.bytes));
        let strings = table.and_then(|t| image.sections.get(t.link as usize).copied());
        ElfSymbols { entries, strings }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The function that contains a link-time address. One without a size (hand-written assembly) reaches up to the
    /// next.
    pub(crate) fn name(&self, image: &Image, address: u64) -> Option<String> {
        let end = self.entries.partition_point(|e| e.address <= address);
        let entry = self.entries[..end].last()?;
        if entry.bytes != 0 && address - entry.address >= entry.bytes {
            return None;
        }
        let strings = self.strings.as_ref()?;
        let offset = strings.offset.checked_add(u64::from(entry.name_offset).min(strings.bytes))?;
        image.read_c_string(offset, NAME_MAX_BYTES).ok().filter(|name| !name.is_empty())
    }
}
