//! Names for code addresses of running processes.
use std::collections::HashMap;

use super::elfsym::ElfSymbols;
use super::image::Image;
use super::maps::{FileId, Mapping, read_maps};
use super::pclntab::{Pclntab, Place, name_for_print};

/// Files kept open and parsed; one more empties the cache.
const FILES_MAX: usize = 64;
/// ELF symbols kept over all files (24 bytes each); more empty the cache.
const SYMBOLS_MAX: usize = 1 << 20;
/// Resolved addresses kept over all files, about 200 bytes each; one more empties that cache.
const PLACES_MAX: usize = 1 << 16;
/// Processes whose mappings are kept; one more empties that cache.
const PROCESSES_MAX: usize = 1 << 10;

/// One call in a stack. Inlined calls share the address of the call they were inlined into and come before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    pub address: u64,
    /// `None`: in no known file, or in a file that has no symbol for it.
    pub function: Option<String>,
    /// As the compiler saw it. Where inlined calls cannot be expanded (Go before 1.21, or unknown), file and line are
    /// those of the innermost inlined call.
    pub file: Option<String>,
    pub line: Option<u32>,
}

/// Resolves addresses; files are shared by device and inode between processes. Everything it keeps is bounded.
#[derive(Default)]
pub struct Symbolizer {
    processes: HashMap<u32, Process>,
    files: HashMap<FileId, Option<Object>>,
    /// By file and link-time address.
    places: HashMap<(FileId, u64), Vec<Place>>,
    type_arguments: bool,
}

struct Process {
    mappings: Vec<Mapping>,
    /// Addresses asked for that are in none of the mappings.
    misses: u32,
}

struct Object {
    image: Image,
    go: Option<Pclntab>,
    /// Read when the first address that is not Go's is asked for.
    elf: Option<ElfSymbols>,
}

impl Symbolizer {
    pub fn new() -> Symbolizer {
        Symbolizer::default()
    }

    /// Names generic functions with their type arguments, as `runtime/pprof` does, not as tracebacks do.
    pub fn with_type_arguments() -> Symbolizer {
        Symbolizer { type_arguments: true, ..Symbolizer::default() }
    }

    /// Learns a process's mappings and opens the files of its code now, so that its addresses can be resolved after
    /// it is gone. To be called again after an exec.
    pub fn attach(&mut self, tgid: u32) {
        self.forget(tgid);
        self.refresh(tgid);
        let mappings = self.processes.get(&tgid).map(|process| process.mappings.clone()).unwrap_or_default();
        for mapping in mappings.iter().take(FILES_MAX) {
            self.load(tgid, mapping);
        }
    }

    /// Drops what is known about a process: at its exit, since the pid may be reused.
    pub fn forget(&mut self, tgid: u32) {
        self.processes.remove(&tgid);
    }

    /// Names for return addresses of a user stack, in their order: at least one frame for each. Each is looked up one
    /// byte earlier, in the call instruction. An address in no known mapping has the mappings read again, but only at its
    /// process's 1st, 2nd, 4th, 8th, … such address, since many stacks end in something that is not an address.
    pub fn resolve(&mut self, tgid: u32, addresses: &[u64]) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(addresses.len());
        for &address in addresses {
            let call = address.saturating_sub(1);
            let mut mapping = self.mapping(tgid, call);
            if mapping.is_none() && self.is_refresh_due(tgid) {
                self.refresh(tgid);
                mapping = self.mapping(tgid, call);
            }
            let places = mapping.map(|mapping| self.places(tgid, &mapping, call)).unwrap_or_default();
            if places.is_empty() {
                frames.push(Frame { address, ..Frame::default() });
            }
            frames.extend(places.into_iter().map(|place| Frame {
                address,
                function: Some(place.function),
                file: place.file,
                line: place.line,
            }));
        }
        frames
    }

    /// What a mapped file holds at an address that nobody writes to.
    pub fn constant(&mut self, tgid: u32, address: u64, bytes: usize) -> Option<Vec<u8>> {
        let mappings = self.processes.get(&tgid)?.mappings.clone();
        mappings.iter().take(FILES_MAX).find_map(|mapping| {
            self.load(tgid, mapping);
            let image = &self.files.get(&mapping.file)?.as_ref()?.image;
            let bias = mapping.start.wrapping_sub(mapping.link_address(image, mapping.start)?);
            image.constant(address.wrapping_sub(bias), bytes)
        })
    }

    fn mapping(&self, tgid: u32, address: u64) -> Option<Mapping> {
        let mappings = &self.processes.get(&tgid)?.mappings;
        let after = mappings.partition_point(|m| m.start <= address);
        mappings[..after].last().filter(|m| address < m.end).cloned()
    }

    fn is_refresh_due(&mut self, tgid: u32) -> bool {
        let Some(process) = self.processes.get_mut(&tgid) else { return true };
        process.misses = process.misses.saturating_add(1);
        process.misses.is_power_of_two()
    }

    /// What is known stays known when the process is already gone.
    fn refresh(&mut self, tgid: u32) {
        let Ok(mappings) = read_maps(tgid) else { return };
        if mappings.is_empty() {
            return;
        }
        if self.processes.len() >= PROCESSES_MAX {
            self.processes.clear();
        }
        let misses = self.processes.get(&tgid).map_or(0, |process| process.misses);
        self.processes.insert(tgid, Process { mappings, misses });
    }

    fn places(&mut self, tgid: u32, mapping: &Mapping, address: u64) -> Vec<Place> {
        self.load(tgid, mapping);
        let Some(Some(object)) = self.files.get_mut(&mapping.file) else { return Vec::new() };
        let Some(link_address) = mapping.link_address(&object.image, address) else { return Vec::new() };
        let key = (mapping.file, link_address);
        if let Some(places) = self.places.get(&key) {
            return places.clone();
        }
        let mut places = object.places(link_address);
        if !self.type_arguments {
            places.iter_mut().for_each(|place| place.function = name_for_print(&place.function));
        }
        if self.places.len() >= PLACES_MAX {
            self.places.clear();
        }
        self.places.insert(key, places.clone());
        places
    }

    /// Opens and parses the mapped file unless that was done before. A file that cannot be read is remembered as such.
    fn load(&mut self, tgid: u32, mapping: &Mapping) {
        if self.files.contains_key(&mapping.file) {
            return;
        }
        let symbols: usize = self.files.values().flatten().map(Object::symbols).sum();
        if self.files.len() >= FILES_MAX || symbols >= SYMBOLS_MAX {
            // An open file pins its inode number; without it the number may come back as another file.
            self.files.clear();
            self.places.clear();
        }
        let object = mapping.open(tgid).ok().map(|image| Object { go: Pclntab::read(&image), image, elf: None });
        self.files.insert(mapping.file, object);
    }
}

impl Object {
    fn places(&mut self, address: u64) -> Vec<Place> {
        let go = self.go.as_ref().map(|table| table.places(&self.image, address)).unwrap_or_default();
        if !go.is_empty() {
            return go;
        }
        let symbols = self.elf.get_or_insert_with(|| ElfSymbols::read(&self.image));
        let name = symbols.name(&self.image, address);
        name.map(|function| Place { function, file: None, line: None }).into_iter().collect()
    }

    fn symbols(&self) -> usize {
        self.elf.as_ref().map_or(0, ElfSymbols::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_function_is_named() {
        let address = own_function_is_named as fn() as usize as u64 + 1;
        let frames = Symbolizer::new().resolve(std::process::id(), &[address, 1]);
        assert_eq!(frames.len(), 2);
        assert!(frames[0].function.as_deref().is_some_and(|name| name.contains("own_function_is_named")), "{frames:?}");
        assert_eq!(frames[1], Frame { address: 1, ..Frame::default() });
    }

    #[test]
    fn attached_process_is_resolved_from_what_is_known() {
        let mut symbolizer = Symbolizer::new();
        symbolizer.attach(std::process::id());
        assert!(!symbolizer.files.is_empty());
        symbolizer.forget(std::process::id());
        assert!(symbolizer.processes.is_empty());
        assert_eq!(symbolizer.resolve(i32::MAX as u32, &[4096]).len(), 1);
    }
}
