//! Copies of 64-bit ELF programs, with less in them that tells what is where.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Fields of the file header.
const SECTIONS_AT: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const SECTION_NAMES: usize = 0x3e;

/// `binary` without its symbol table, as `strip` leaves it, in `dir`: neither the symbols nor the section are there.
pub fn stripped(binary: &Path, dir: &Path) -> PathBuf {
    const SECTION_BYTES: usize = 64;
    const SHT_SYMTAB: u32 = 2;
    let mut elf = read(binary);
    let word = |elf: &[u8], at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("8 bytes")) as usize;
    let sections = word(&elf, SECTIONS_AT);
    let count = usize::from(u16::from_le_bytes([elf[SECTION_COUNT], elf[SECTION_COUNT + 1]]));
    let mut removed = 0;
    for header in (0..count).map(|n| sections + n * SECTION_BYTES) {
        if elf[header + 4..header + 8] == SHT_SYMTAB.to_le_bytes() {
            let (at, size) = (word(&elf, header + 0x18), word(&elf, header + 0x20));
            elf[at..at + size].fill(0);
            elf[header..header + SECTION_BYTES].fill(0);
            removed += 1;
        }
    }
    assert_eq!(removed, 1, "symbol tables in {}", binary.display());
    write(&elf, dir.join("stripped"))
}

/// `binary` with only what it needs to run, in `dir`: nobody finds any section.
pub fn without_sections(binary: &Path, dir: &Path) -> PathBuf {
    let mut elf = read(binary);
    for (at, bytes) in [(SECTIONS_AT, 8), (SECTION_COUNT, 2), (SECTION_NAMES, 2)] {
        elf[at..at + bytes].fill(0);
    }
    write(&elf, dir.join("without-sections"))
}

fn read(binary: &Path) -> Vec<u8> {
    let elf = fs::read(binary).expect("the binary");
    assert_eq!(&elf[..5], b"\x7fELF\x02", "a 64-bit ELF file");
    elf
}

/// Over no file that may be running.
fn write(elf: &[u8], path: PathBuf) -> PathBuf {
    let _ = fs::remove_file(&path);
    fs::write(&path, elf).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable copy");
    path
}
