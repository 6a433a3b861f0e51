//! Small Go executables, laid out by hand.
use object::elf;

pub(crate) const BASE: u64 = 0x40_0000;

/// Lays a small Go executable out by hand: headers, one segment, and the sections the readers look for.
pub(crate) struct Builder {
    bytes: Vec<u8>,
    sections: Vec<(&'static str, u32, u64, u64, u32)>,
}

impl Builder {
    pub(crate) fn section(&mut self, name: &'static str, kind: u32, link: u32, content: &[u8]) {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        self.sections.push((name, kind, self.bytes.len() as u64, content.len() as u64, link));
        self.bytes.extend_from_slice(content);
    }

    /// Of the section that is added next.
    pub(crate) fn next_address(&self) -> u64 {
        BASE + self.bytes.len().next_multiple_of(16) as u64
    }

    pub(crate) fn address(&self, section: usize) -> u64 {
        BASE + self.sections[section].2
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
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

pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

pub(crate) fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// One function `main.f` at text + 0 .. 64, in `f.go`: lines 7 (first 16 bytes, inlined `inl` called at +20) and 9.
pub(crate) fn pclntab() -> Vec<u8> {
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
pub(crate) fn moduledata(address: u64, pclntab: u64) -> Vec<u8> {
    let mut module = vec![0u8; 344];
    put(&mut module, 0, &pclntab.to_le_bytes());
    put(&mut module, 176, &BASE.to_le_bytes());
    put(&mut module, 320, &(address + 328).to_le_bytes());
    put(&mut module, 328, &words32(&[0, 7, 20, 1]));
    module
}

/// Headers, and the build information of Go 1.26.6.
pub(crate) fn start() -> Builder {
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
    builder
}

/// With a function table, the module that points to it, and a symbol.
#[cfg(test)]
pub(crate) fn executable() -> Vec<u8> {
    let mut builder = start();
    builder.section(".gopclntab", elf::SHT_PROGBITS, 0, &pclntab());
    let (next, table) = (builder.next_address(), builder.address(1));
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
