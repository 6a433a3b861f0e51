//! Hostile executables: whatever the bytes, the readers end, stay small and do not panic.
use super::elfsym::ElfSymbols;
use super::image::Image;
use super::pclntab::{Pclntab, Place};
use super::{NotRead, find, read_build};
use object::elf;

const BASE: u64 = 0x40_0000;

/// Lays a small Go executable out by hand: headers, one segment, and the sections the readers look for.
struct Builder {
    bytes: Vec<u8>,
    sections: Vec<(&'static str, u32, u64, u64, u32)>,
}

impl Builder {
    fn section(&mut self, name: &'static str, kind: u32, link: u32, content: &[u8]) {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        self.sections.push((name, kind, self.bytes.len() as u64, content.len() as u64, link));
        self.bytes.extend_from_slice(content);
    }

    fn finish(mut self) -> Vec<u8> {
        let names: String = self.sections.iter().map(|s| format!("{}\0", s.0)).chain([".shstrtab\0".into()]).collect();
        self.section(".shstrtab", elf::SHT_STRTAB, 0, names.as_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let table = self.bytes.len() as u64;
        let mut name_offset = 0u32;
        for (name, kind, offset, bytes, link) in &self.sections {
            self.bytes.extend(name_offset.to_le_bytes());
            self.bytes.extend(kind.to_le_bytes());
            for word in [0, BASE + offset, *offset, *bytes] {
                self.bytes.extend(word.to_le_bytes());
            }
            self.bytes.extend(link.to_le_bytes());
            self.bytes.extend([0; 20]);
            name_offset += name.len() as u32 + 1;
        }
        let total = self.bytes.len() as u64;
        put(&mut self.bytes, 40, &table.to_le_bytes());
        put(&mut self.bytes, 60, &(self.sections.len() as u16).to_le_bytes());
        put(&mut self.bytes, 62, &(self.sections.len() as u16 - 1).to_le_bytes());
        put(&mut self.bytes, 64 + 32, &total.to_le_bytes());
        self.bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// One function `main.f` at text + 0 .. 64, in `f.go`: lines 7 (first 16 bytes, inlined `inl` called at +20) and 9.
fn pclntab() -> Vec<u8> {
    let mut table = words32(&[0xffff_fff1]);
    table.extend([0, 0, 1, 8]);
    let (names, units, files, values, functions) = (72u64, 88u64, 96u64, 104u64, 128u64);
    for word in [1, 1, BASE, names, units, files, values, functions] {
        table.extend(word.to_le_bytes());
    }
    table.extend(b"main.f\0inl\0\0\0\0\0\0");
    table.extend(words32(&[0, 0]));
    table.extend(b"f.go\0\0\0\0");
    // At 1: file 0 for 64 bytes. At 5: line 7 for 16 bytes, line 9 for 48. At 11: inlined call 0 for 16 bytes, then none.
    table.extend([0, 2, 64, 0, 0, 16, 16, 4, 48, 0, 0, 2, 16, 1, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    table.extend(words32(&[0, 12, 64]));
    table.extend(words32(&[0, 0, 0, 0, 0, 1, 5, 3, 0, 6, 4 << 24, 0, 0, 11, 0, 0, 0, 0]));
    table
}

/// `moduledata` and behind it, at `go_func`, one inlined call.
fn moduledata(address: u64, pclntab: u64) -> Vec<u8> {
    let mut module = vec![0u8; 344];
    put(&mut module, 0, &pclntab.to_le_bytes());
    put(&mut module, 176, &BASE.to_le_bytes());
    put(&mut module, 320, &(address + 328).to_le_bytes());
    put(&mut module, 328, &words32(&[0, 7, 20, 1]));
    module
}

fn executable() -> Vec<u8> {
    let mut header = vec![0u8; 64 + 56];
    put(&mut header, 0, b"\x7fELF\x02\x01\x01");
    for (at, value) in [(16, elf::ET_EXEC), (18, elf::EM_X86_64), (54, 56), (56, 1), (58, 64)] {
        put(&mut header, at, &value.to_le_bytes());
    }
    put(&mut header, 32, &64u64.to_le_bytes());
    put(&mut header, 64, &words32(&[elf::PT_LOAD, elf::PF_R | elf::PF_W | elf::PF_X]));
    put(&mut header, 64 + 16, &BASE.to_le_bytes());
    let mut builder = Builder { bytes: header, sections: Vec::new() };
    let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
    info.resize(32, 0);
    info.extend(b"\x08go1.26.6\x14build\tCGO_ENABLED=1\n");
    builder.section(".go.buildinfo", elf::SHT_PROGBITS, 0, &info);
    builder.section(".gopclntab", elf::SHT_PROGBITS, 0, &pclntab());
    let next = BASE + builder.bytes.len().next_multiple_of(16) as u64;
    let table = BASE + builder.sections[1].2;
    builder.section(".noptrdata", elf::SHT_PROGBITS, 0, &moduledata(next, table));
    let relocation = [next + 176, elf::R_X86_64_RELATIVE.into(), BASE].map(u64::to_le_bytes).concat();
    builder.section(".rela.dyn", elf::SHT_RELA, 0, &relocation);
    let mut symbols = vec![0u8; 48];
    put(&mut symbols, 24, &words32(&[4]));
    put(&mut symbols, 28, &[0x12, 0, 1, 0]);
    put(&mut symbols, 32, &0x1234u64.to_le_bytes());
    put(&mut symbols, 40, &392u64.to_le_bytes());
    builder.section(".symtab", elf::SHT_SYMTAB, 5, &symbols);
    builder.section(".strtab", elf::SHT_STRTAB, 0, b"\0go.runtime.gcController\0");
    builder.finish()
}

/// Everything that reads a file, on these bytes.
fn read_all(bytes: Vec<u8>) {
    let Ok(image) = Image::parse(Box::new(bytes)) else { return };
    let _ = read_build(&image);
    let _ = find::find_symbol(&image, "runtime.gcController");
    let symbols = ElfSymbols::read(&image);
    let table = Pclntab::read(&image);
    for address in [0, BASE, BASE + 20, 0x1240, u64::MAX] {
        let _ = symbols.name(&image, address);
        let _ = table.as_ref().map(|t| t.places(&image, address));
    }
}

#[test]
fn a_whole_file_is_read() {
    let image = Image::parse(Box::new(executable())).unwrap();
    let build = read_build(&image).unwrap();
    assert_eq!((build.version.as_str(), build.cgo, build.stripped, build.pie), ("go1.26.6", Some(true), false, false));
    let symbol = find::find_symbol(&image, "runtime.gcController").unwrap();
    assert_eq!((symbol.address, symbol.bytes), (0x1234, 392));
    assert_eq!(ElfSymbols::read(&image).name(&image, 0x1240).as_deref(), Some("runtime.gcController"));
    let table = Pclntab::read(&image).unwrap();
    let place = |function: &str, line| Place { function: function.into(), file: Some("f.go".into()), line: Some(line) };
    for offset in [0, 15] {
        assert_eq!(table.places(&image, BASE + offset), [place("inl", 7), place("main.f", 9)]);
    }
    for offset in [16, 63] {
        assert_eq!(table.places(&image, BASE + offset), [place("main.f", 9)]);
    }
    assert!(table.places(&image, BASE + 64).is_empty());
    assert!(table.places(&image, BASE - 1).is_empty());
}

#[test]
fn every_prefix_ends_without_panic() {
    let whole = executable();
    for end in 0..whole.len() {
        read_all(whole[..end].to_vec());
    }
}

#[test]
fn every_damaged_byte_ends_without_panic() {
    let whole = executable();
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            read_all(bytes);
        }
    }
}

#[test]
fn every_damaged_word_ends_without_panic() {
    let whole = executable();
    for at in 0..whole.len() - 8 {
        for value in [u64::MAX, 1 << 63, (1 << 63) - 1, u64::from(u32::MAX), 1 << 40, whole.len() as u64] {
            let mut bytes = whole.clone();
            put(&mut bytes, at, &value.to_le_bytes());
            read_all(bytes);
        }
    }
}

#[test]
fn old_and_foreign_files_are_told_apart() {
    let mut old = executable();
    let at = old.windows(14).position(|w| w == b"\xff Go buildinf:").unwrap();
    old[at + 15] = 0;
    let image = Image::parse(Box::new(old)).unwrap();
    assert!(matches!(read_build(&image), Err(NotRead::Refused(_))));
    let mut foreign = executable();
    foreign[at] = 0;
    let image = Image::parse(Box::new(foreign)).unwrap();
    assert!(matches!(read_build(&image), Err(NotRead::NotGo)));
    assert!(Image::parse(Box::new(b"#!/bin/sh\n".to_vec())).is_err());
}

#[test]
fn wiped_section_headers_leave_the_version() {
    let mut bytes = executable();
    put(&mut bytes, 40, &[0; 8]);
    put(&mut bytes, 60, &[0; 4]);
    let build = read_build(&Image::parse(Box::new(bytes)).unwrap()).unwrap();
    assert_eq!((build.version.as_str(), build.stripped), ("go1.26.6", true));
}

/// What the fuzzer starts from is what is tested here.
#[test]
fn the_fuzz_corpus_has_this_file() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/elf/small");
    assert_eq!(std::fs::read(corpus).unwrap(), executable());
}
