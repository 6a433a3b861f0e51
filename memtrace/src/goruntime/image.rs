//! An ELF file read piece by piece: bounded memory whatever the file says, no panic, every offset checked.
//!
//! Malformed input is `io::ErrorKind::InvalidData`, a truncated one `UnexpectedEof`. 64-bit little-endian only.
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod::slice_from_bytes;
use object::{LittleEndian, U64};

/// The kernel itself accepts no more program headers than fit in 64 KiB.
const SEGMENTS_MAX: usize = 1 << 10;
const SECTIONS_MAX: usize = 1 << 13;
const SECTION_NAMES_MAX_BYTES: u64 = 1 << 18;
/// No table longer than this is walked: a sparse file may claim terabytes.
pub(super) const TABLE_MAX_BYTES: u64 = 1 << 26;
/// Places at which searched names are remembered: one each, in a file of any linker.
const NAMES_MAX: usize = 256;
/// No linker makes more loaded segments for a Go program.
const PARTS_MAX: usize = 8;
const CHUNK_BYTES: u64 = 1 << 16;

/// Where the bytes of an image come from.
pub trait ReadAt {
    /// Fills the whole buffer, or fails with `UnexpectedEof`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        // Beyond this the kernel answers EINVAL, which would look like a failing disk.
        if i64::try_from(offset).is_err() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read_exact_at(buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(self.get(start..end).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A program header; addresses are the file's own, before any load bias.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_bytes: u64,
    /// With what starts as zeros behind it.
    pub memory_bytes: u64,
}

impl Segment {
    /// Whether the file holds the byte of that address.
    pub fn contains(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|inside| inside < self.file_bytes)
    }

    /// Whether that address is the segment's in memory.
    pub fn holds(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|inside| inside < self.memory_bytes)
    }
}

/// A section header.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    name_offset: u32,
    pub kind: u32,
    pub address: u64,
    pub offset: u64,
    pub bytes: u64,
    pub link: u32,
    /// SHF_COMPRESSED: begins with an `Elf64_Chdr`.
    pub is_compressed: bool,
}

impl Section {
    /// What the file holds of a segment.
    pub(super) fn of(segment: &Segment) -> Section {
        let Segment { address, offset, file_bytes: bytes, .. } = *segment;
        Section { name_offset: 0, kind: elf::SHT_PROGBITS, address, offset, bytes, link: 0, is_compressed: false }
    }

    /// From `inside` bytes behind its start on.
    pub(super) fn behind(self, inside: u64) -> Option<Section> {
        let address = self.address.checked_add(inside)?;
        let offset = self.offset.checked_add(inside)?;
        Some(Section { address, offset, bytes: self.bytes.checked_sub(inside)?, ..self })
    }
}

/// A symbol of `.symtab` or `.dynsym`.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    pub name_offset: u32,
    pub address: u64,
    pub bytes: u64,
    pub is_function: bool,
    pub is_defined: bool,
}

pub struct Image {
    bytes: Box<dyn ReadAt + Send>,
    /// `EM_X86_64`, `EM_AARCH64`, …
    pub machine: u16,
    /// `ET_DYN`: loaded anywhere, so addresses need a load bias.
    pub is_relocatable: bool,
    pub entry: u64,
    pub segments: Vec<Segment>,
    /// Empty when the section headers were wiped.
    pub sections: Vec<Section>,
    section_names: Vec<u8>,
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

impl Image {
    /// Opens a regular file; anything else (a fifo, a device) is refused before it is read.
    pub fn open(path: &Path) -> io::Result<Image> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(invalid("not a regular file"));
        }
        Image::parse(Box::new(file))
    }

    /// Reads the headers only: four small reads.
    pub fn parse(bytes: Box<dyn ReadAt + Send>) -> io::Result<Image> {
        let words = read_words(&*bytes, 0, size_of::<FileHeader64<LittleEndian>>())?;
        let header = *first::<FileHeader64<LittleEndian>>(&words)?;
        let ident = header.e_ident;
        if ident.magic != elf::ELFMAG || ident.class != elf::ELFCLASS64 || ident.data != elf::ELFDATA2LSB {
            return Err(invalid("not a 64-bit little-endian ELF file"));
        }
        let e = LittleEndian;
        let mut image = Image {
            machine: header.e_machine.get(e),
            is_relocatable: header.e_type.get(e) == elf::ET_DYN,
            entry: header.e_entry.get(e),
            segments: Vec::new(),
            sections: Vec::new(),
            section_names: Vec::new(),
            bytes,
        };
        let (segments, sections) = (header.e_phnum.get(e).into(), header.e_shnum.get(e).into());
        if segments > SEGMENTS_MAX || sections > SECTIONS_MAX {
            return Err(invalid("too many headers"));
        }
        image.read_segments(header.e_phoff.get(e), segments, header.e_phentsize.get(e))?;
        // Section headers are optional for running: a file without usable ones is still an image.
        if image.read_sections(&header, sections).is_err() {
            image.sections.clear();
            image.section_names.clear();
        }
        Ok(image)
    }

    fn read_segments(&mut self, offset: u64, count: usize, entry_bytes: u16) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        if usize::from(entry_bytes) != size_of::<ProgramHeader64<LittleEndian>>() {
            return Err(invalid("program header size"));
        }
        let words = self.words(offset, count * usize::from(entry_bytes))?;
        let e = LittleEndian;
        self.segments = entries::<ProgramHeader64<LittleEndian>>(&words, count)?
            .iter()
            .map(|p| Segment {
                kind: p.p_type.get(e),
                flags: p.p_flags.get(e),
                offset: p.p_offset.get(e),
                address: p.p_vaddr.get(e),
                file_bytes: p.p_filesz.get(e),
                memory_bytes: p.p_memsz.get(e),
            })
            .collect();
        Ok(())
    }

    fn read_sections(&mut self, header: &FileHeader64<LittleEndian>, count: usize) -> io::Result<()> {
        let e = LittleEndian;
        if count == 0 || usize::from(header.e_shentsize.get(e)) != size_of::<SectionHeader64<LittleEndian>>() {
            return Err(invalid("no section headers"));
        }
        let words = self.words(header.e_shoff.get(e), count * size_of::<SectionHeader64<LittleEndian>>())?;
        self.sections = entries::<SectionHeader64<LittleEndian>>(&words, count)?
            .iter()
            .map(|s| Section {
                name_offset: s.sh_name.get(e),
                kind: s.sh_type.get(e),
                address: s.sh_addr.get(e),
                offset: s.sh_offset.get(e),
                bytes: s.sh_size.get(e),
                link: s.sh_link.get(e),
                is_compressed: s.sh_flags.get(e) & u64::from(elf::SHF_COMPRESSED) != 0,
            })
            .collect();
        let names = self.sections.get(usize::from(header.e_shstrndx.get(e))).ok_or(invalid("section names"))?;
        let (offset, bytes) = (names.offset, names.bytes.min(SECTION_NAMES_MAX_BYTES));
        self.section_names = self.read(offset, bytes as usize)?;
        Ok(())
    }

    /// The first section of that name which has bytes in the file.
    pub fn section(&self, name: &str) -> Option<Section> {
        let matches = |s: &&Section| {
            let at = s.name_offset as usize;
            let stored = self.section_names.get(at..).and_then(|rest| rest.get(..=name.len()));
            s.kind != elf::SHT_NOBITS && stored.is_some_and(|b| b.strip_suffix(&[0]) == Some(name.as_bytes()))
        };
        self.sections.iter().find(matches).copied()
    }

    /// `length` bytes at a file offset. The caller bounds `length`.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; length];
        self.bytes.read_at(offset, &mut buffer)?;
        Ok(buffer)
    }

    fn words(&self, offset: u64, length: usize) -> io::Result<Vec<u64>> {
        read_words(&*self.bytes, offset, length)
    }

    pub fn read_u32(&self, offset: u64) -> io::Result<u32> {
        let mut buffer = [0; 4];
        self.bytes.read_at(offset, &mut buffer)?;
        Ok(u32::from_le_bytes(buffer))
    }

    pub fn read_u64(&self, offset: u64) -> io::Result<u64> {
        let mut buffer = [0; 8];
        self.bytes.read_at(offset, &mut buffer)?;
        Ok(u64::from_le_bytes(buffer))
    }

    /// A NUL-terminated string at a file offset, cut at `limit` bytes and made valid UTF-8.
    pub fn read_c_string(&self, offset: u64, limit: usize) -> io::Result<String> {
        let mut text = Vec::new();
        // Byte-wise at the end of the file only: a piece may be shorter than asked for.
        let mut piece = 64;
        while text.len() < limit {
            let at = offset.checked_add(text.len() as u64).ok_or(invalid("string offset"))?;
            match self.read(at, piece) {
                Ok(bytes) => match bytes.iter().position(|b| *b == 0) {
                    Some(end) => {
                        text.extend_from_slice(&bytes[..end]);
                        return Ok(String::from_utf8_lossy(&text).into_owned());
                    }
                    None => text.extend_from_slice(&bytes),
                },
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && piece > 1 => piece = 1,
                Err(error) => return Err(error),
            }
        }
        text.truncate(limit);
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// File offset of an address that is backed by the file.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|s| s.kind == elf::PT_LOAD && s.contains(address))?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Bytes at an address that is mapped to be read only.
    pub(super) fn constant(&self, address: u64, bytes: usize) -> Option<Vec<u8>> {
        let is_constant = |s: &&Segment| s.kind == elf::PT_LOAD && s.flags & elf::PF_W == 0 && s.contains(address);
        let segment = self.segments.iter().find(is_constant)?;
        let inside = address - segment.address;
        let bytes = usize::try_from(segment.file_bytes - inside).map_or(bytes, |rest| bytes.min(rest));
        self.read(segment.offset.checked_add(inside)?, bytes).ok()
    }

    /// The parts of the file that are loaded with these permissions (`PF_R`, …) at least, as sections without a name:
    /// what there is to go by when the section headers were wiped.
    pub fn parts(&self, flags: u32) -> impl Iterator<Item = Section> {
        let loaded = self.segments.iter().filter(move |s| s.kind == elf::PT_LOAD && s.flags & flags == flags);
        loaded.take(PARTS_MAX).map(Section::of)
    }

    /// Where in a section the first aligned 64-bit word of that kind is.
    pub fn find_word(&self, section: &Section, is_wanted: impl Fn(u64) -> bool) -> Option<u64> {
        let mut at = 0;
        let mut is_found = false;
        let walked = self.for_each_entry::<U64<LittleEndian>>(section, |word| {
            is_found = is_wanted(word.get(LittleEndian));
            at += 8;
            !is_found
        });
        walked.ok().filter(|()| is_found).map(|()| at - 8)
    }

    /// Calls `visit` with each symbol of the table until it returns false.
    pub fn for_each_symbol(&self, table: &Section, mut visit: impl FnMut(Symbol) -> bool) -> io::Result<()> {
        let e = LittleEndian;
        self.for_each_entry::<Sym64<LittleEndian>>(table, |s| {
            visit(Symbol {
                name_offset: s.st_name.get(e),
                address: s.st_value.get(e),
                bytes: s.st_size.get(e),
                is_function: matches!(s.st_info & 0xf, elf::STT_FUNC | elf::STT_GNU_IFUNC),
                is_defined: s.st_shndx.get(e) != elf::SHN_UNDEF,
            })
        })
    }

    pub(super) fn for_each_entry<T: object::Pod>(
        &self,
        table: &Section,
        mut visit: impl FnMut(&T) -> bool,
    ) -> io::Result<()> {
        let step = CHUNK_BYTES - CHUNK_BYTES % size_of::<T>() as u64;
        let bytes = table.bytes.min(TABLE_MAX_BYTES);
        let mut done = 0;
        while done < bytes {
            let piece = step.min(bytes - done);
            let count = piece as usize / size_of::<T>();
            let at = table.offset.checked_add(done).ok_or(invalid("table offset"))?;
            let words = self.words(at, count * size_of::<T>())?;
            if !entries::<T>(&words, count)?.iter().all(&mut visit) {
                return Ok(());
            }
            done += piece;
        }
        Ok(())
    }

    /// Which of `names` some string of a table ends with, and where in the table; a linker may share the tails of strings.
    pub fn find_names<'n>(&self, strings: &Section, names: &[&'n str]) -> io::Result<Vec<(u32, &'n str)>> {
        let overlap = names.iter().map(|name| name.len() as u64 + 1).max().unwrap_or(1);
        let bytes = strings.bytes.min(TABLE_MAX_BYTES);
        let mut found = Vec::new();
        let mut start = 0;
        while start < bytes && found.len() < NAMES_MAX {
            // Pieces overlap, so that a name across their border is seen; twice perhaps.
            let piece = (CHUNK_BYTES + overlap - 1).min(bytes - start);
            let at = strings.offset.checked_add(start).ok_or(invalid("table offset"))?;
            let text = self.read(at, piece as usize)?;
            for end in (1..text.len()).filter(|end| text[*end] == 0 && text[*end - 1] != 0) {
                let ending = names.iter().filter(|name| text[..end].ends_with(name.as_bytes()));
                found.extend(ending.map(|name| ((start as usize + end - name.len()) as u32, *name)));
            }
            start += CHUNK_BYTES;
        }
        found.truncate(NAMES_MAX);
        Ok(found)
    }
}

/// Words rather than bytes, so that the entries in them are aligned.
fn read_words(bytes: &dyn ReadAt, offset: u64, length: usize) -> io::Result<Vec<u64>> {
    let mut words = vec![0u64; length.div_ceil(8)];
    let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    bytes.read_at(offset, &mut buffer[..length])?;
    Ok(words)
}

fn entries<T: object::Pod>(words: &[u64], count: usize) -> io::Result<&[T]> {
    let (slice, _) = slice_from_bytes(bytemuck::cast_slice(words), count).map_err(|()| invalid("table entry"))?;
    Ok(slice)
}

fn first<T: object::Pod>(words: &[u64]) -> io::Result<&T> {
    entries(words, 1)?.first().ok_or(invalid("header"))
}
