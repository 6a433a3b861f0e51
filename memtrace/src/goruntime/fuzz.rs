//! What the fuzz targets call: any bytes as an executable, or as the memory of a process.
use std::cell::RefCell;
use std::collections::HashMap;

use object::elf;

use super::elfsym::ElfSymbols;
use super::fake::elf::{moduledata, pclntab as table, start};
use super::fake::memory::{FakeMemory, parse, runtime};
use super::image::Image;
use super::layout::dwarf::from_dwarf;
use super::layout::table::{Entry, look_up};
use super::maps::parse_maps;
use super::moduledata::Tables;
use super::pclntab::Pclntab;
use super::{GoFile, Runtime, Version, Walked, locate, read_build, words};

/// Everything that reads a file, on these bytes.
pub(crate) fn executable(bytes: &[u8]) {
    let Some(image) = image(bytes.to_vec()) else { return };
    let _ = read_build(&image);
    let _ = GoFile::read(&image);
    let symbols = ElfSymbols::read(&image);
    let table = Pclntab::read(&image);
    for segment in &image.segments {
        for inside in [0, 1, 16, 63, segment.file_bytes / 2, u64::MAX] {
            let address = segment.address.saturating_add(inside);
            let _ = symbols.name(&image, address);
            let _ = table.as_ref().map(|table| table.places(&image, address));
        }
    }
}

/// What the linker wrote about the build, found by its section and without one.
pub(crate) fn buildinfo(bytes: &[u8]) {
    let mut builder = start();
    builder.section(".data", elf::SHT_PROGBITS, 0, bytes);
    let mut file = builder.finish();
    let _ = image(file.clone()).map(|image| read_build(&image));
    // The first section is that of a real one.
    let at = file.windows(14).position(|window| window == b"\xff Go buildinf:").unwrap_or(0);
    let count = bytes.len().min(file.len() - at);
    file[at..at + count].copy_from_slice(&bytes[..count]);
    let _ = image(file).map(|image| read_build(&image));
    let _ = Version::parse(&String::from_utf8_lossy(bytes));
}

/// A function table with these bytes in it: names and lines of addresses, addresses of names.
pub(crate) fn pclntab(bytes: &[u8]) {
    let mut builder = start();
    builder.section(".gopclntab", elf::SHT_PROGBITS, 0, bytes);
    let (next, address) = (builder.next_address(), builder.address(1));
    builder.section(".noptrdata", elf::SHT_PROGBITS, 0, &moduledata(next, address));
    let Some(image) = image(builder.finish()) else { return };
    let Some(tables) = Tables::locate(&image) else { return };
    let Some(table) = Pclntab::of(&image, &tables) else { return };
    for inside in [0, 1, 15, 16, 63, 64, 1 << 20, u64::from(u32::MAX)] {
        table.places(&image, tables.text.saturating_add(inside));
    }
    let _ = with_entry(26, 6, |entry| table.find_functions(&image, &entry.signature.functions()).len());
}

/// The module, its relocations, symbols and their names: what variables are found by.
pub(crate) fn module(bytes: &[u8]) {
    let [module, relocations, symbols, strings] = parts(bytes);
    let mut builder = start();
    builder.section(".gopclntab", elf::SHT_PROGBITS, 0, &table());
    builder.section(".noptrdata", elf::SHT_PROGBITS, 0, module);
    builder.section(".rela.dyn", elf::SHT_RELA, 0, relocations);
    builder.section(".symtab", elf::SHT_SYMTAB, 5, symbols);
    builder.section(".strtab", elf::SHT_STRTAB, 0, strings);
    let Some(image) = image(builder.finish()) else { return };
    let _ = Tables::locate(&image).map(|tables| (tables.data, tables.go_func));
    let _ = locate::by_symbols(&image);
    let _ = with_entry(26, 6, |entry| locate::by_vote(&image, &entry.signature).is_ok());
}

/// Debug information: abbreviations, then entries.
pub(crate) fn dwarf(bytes: &[u8]) {
    let [abbreviations, info, _, _] = parts(bytes);
    let mut builder = start();
    builder.section(".debug_abbrev", elf::SHT_PROGBITS, 0, abbreviations);
    builder.section(".debug_info", elf::SHT_PROGBITS, 0, info);
    let _ = image(builder.finish()).map(|image| from_dwarf(&image));
}

/// The heap: spans, free pages, metadata.
pub(crate) fn spans(bytes: &[u8]) {
    let walk = |runtime: &Runtime<FakeMemory<'_>>| {
        let _ = runtime.spans().map(|spans| spans.classes());
        let _ = runtime.free_pages().map(|free| (free.idle_bytes(), free.released_bytes()));
        let _ = runtime.metadata();
        let _ = (runtime.mheap(), runtime.p_caches());
    };
    let _ = attached(bytes, walk);
}

/// Goroutines, the heap profile, statistics, and whether it is a runtime at all.
pub(crate) fn goroutines(bytes: &[u8]) {
    let walk = |runtime: &Runtime<FakeMemory<'_>>| {
        let _ = runtime.validate();
        let _ = runtime.sampler().and_then(|mut sampler| sampler.sample(runtime));
        let _ = words::copy(runtime);
        let _ = Walked::of_buckets(bytes.to_vec()).heap(&runtime.layout);
        let _ = runtime.goroutines();
        let _ = runtime.heap_profile().map(|profile| {
            profile.records.iter().map(|record| record.unsampled(profile.rate_bytes)).collect::<Vec<_>>()
        });
    };
    let _ = attached(bytes, walk);
}

/// Which file each code address belongs to.
pub(crate) fn maps(bytes: &[u8]) {
    let _ = parse_maps(bytes);
}

fn image(bytes: Vec<u8>) -> Option<Image> {
    Image::parse(Box::new(bytes)).ok()
}

/// `None`: no process.
pub(super) fn attached(bytes: &[u8], walk: impl Fn(&Runtime<FakeMemory<'_>>)) -> Option<()> {
    let (version, globals, memory) = parse(bytes)?;
    let (minor, patch) = (version.minor, version.patch.unwrap_or(0));
    with_entry(minor, patch, |entry| walk(&runtime(version, entry, globals, memory)))
}

/// What the tables say of a release of amd64. Parsing them takes longer than most inputs.
fn with_entry<T>(minor: u32, patch: u32, run: impl FnOnce(&Entry) -> T) -> Option<T> {
    thread_local! { static ENTRIES: RefCell<HashMap<(u32, u32), Option<Entry>>> = RefCell::default(); }
    ENTRIES.with_borrow_mut(|entries| {
        let entry = entries
            .entry((minor, patch))
            .or_insert_with(|| look_up(&Version::parse(&format!("go1.{minor}.{patch}"))?, elf::EM_X86_64).ok());
        entry.as_ref().map(run)
    })
}

/// The first three lengths, two bytes each, then the parts.
fn parts(bytes: &[u8]) -> [&[u8]; 4] {
    let (lengths, mut rest) = bytes.split_first_chunk::<6>().unwrap_or((&[0; 6], &[]));
    let mut lengths = lengths.as_chunks::<2>().0.iter().map(|length| usize::from(u16::from_le_bytes(*length)));
    std::array::from_fn(|_| {
        let (part, after) = rest.split_at(lengths.next().unwrap_or(usize::MAX).min(rest.len()));
        rest = after;
        part
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::corpus;
    use crate::goruntime::fake::elf::executable as small;

    #[test]
    fn the_fuzzer_starts_from_files_that_are_whole() {
        assert_eq!(corpus("elf/small"), small());
        let dwarf = corpus("dwarf/small");
        let [abbreviations, info, ..] = parts(&dwarf);
        let mut builder = start();
        builder.section(".debug_abbrev", elf::SHT_PROGBITS, 0, abbreviations);
        builder.section(".debug_info", elf::SHT_PROGBITS, 0, info);
        from_dwarf(&image(builder.finish()).unwrap()).unwrap();
    }

    #[test]
    fn the_fuzzer_starts_from_processes_that_are_whole() {
        for release in ["go1.19.8", "go1.23.9", "go1.26.6"] {
            let heap = attached(&corpus(&format!("spans/{release}")), |runtime| {
                assert!(runtime.spans().unwrap().spans.len() > 10, "{release}");
                assert!(!runtime.free_pages().unwrap().arenas.is_empty(), "{release}");
                assert!(runtime.metadata().unwrap().len() > 10, "{release}");
                assert!(runtime.mheap().unwrap().spans > 10, "{release}");
                assert!(runtime.p_caches().unwrap().iter().any(|cache| cache.spans > 0), "{release}");
            });
            let rest = attached(&corpus(&format!("goroutines/{release}")), |runtime| {
                runtime.validate().unwrap();
                assert!(runtime.goroutines().unwrap().kinds.len() > 3, "{release}");
                assert!(runtime.heap_profile().is_ok(), "{release}");
            });
            assert!(heap.is_some() && rest.is_some(), "{release}");
        }
    }
}
