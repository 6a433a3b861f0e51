//! What the dynamic loader would write into an image: pointers of programs that are loaded anywhere.
use object::LittleEndian;
use object::elf::{self, Dyn64, Rela64};

use super::image::{Image, Section, TABLE_MAX_BYTES};

impl Image {
    /// The 64-bit value at an address as it is after relocation with load bias 0: the addend of the relative
    /// relocation there, else what the file holds.
    pub fn relocated_u64(&self, address: u64) -> Option<u64> {
        self.relocated::<1>(address).map(|[word]| word)
    }

    /// As many from an address on; the relocations are walked once.
    pub fn relocated<const N: usize>(&self, address: u64) -> Option<[u64; N]> {
        let mut words = [None; N];
        let mut left = N;
        self.find_relative(|at, addend| {
            let index = at.checked_sub(address).filter(|inside| inside % 8 == 0).map(|inside| (inside / 8) as usize);
            if let Some(word @ None) = index.and_then(|index| words.get_mut(index)) {
                *word = Some(addend);
                left -= 1;
            }
            left == 0
        });
        for (word, at) in words.iter_mut().zip((0..).map(|index| address.checked_add(8 * index))) {
            *word = word.or_else(|| self.read_u64(self.offset_of(at?)?).ok());
        }
        words.iter().all(Option::is_some).then(|| words.map(Option::unwrap_or_default))
    }

    /// The first address that is relocated to point to `target`.
    pub fn find_relocation(&self, target: u64) -> Option<u64> {
        self.find_relative(|_, addend| addend == target).map(|(at, _)| at)
    }

    /// The first relative relocation (address, addend) of that kind. A damaged table ends the search.
    fn find_relative(&self, mut is_wanted: impl FnMut(u64, u64) -> bool) -> Option<(u64, u64)> {
        let relative = match self.machine {
            elf::EM_X86_64 => elf::R_X86_64_RELATIVE,
            _ => elf::R_AARCH64_RELATIVE,
        };
        let e = LittleEndian;
        let mut left = TABLE_MAX_BYTES;
        // Executables have two: .rela.dyn and .rela.plt.
        let tables = self.sections.iter().filter(|s| s.kind == elf::SHT_RELA).take(4).copied();
        let without_headers = self.sections.is_empty().then(|| self.dynamic_relocations()).flatten();
        tables.chain(without_headers).find_map(|table| {
            let mut found = None;
            let mut table = table;
            table.bytes = table.bytes.min(left);
            left -= table.bytes;
            let walked = self.for_each_entry::<Rela64<LittleEndian>>(&table, |rela| {
                let (at, addend) = (rela.r_offset.get(e), rela.r_addend.get(e).cast_unsigned());
                if rela.r_info.get(e) as u32 == relative && is_wanted(at, addend) {
                    found = Some((at, addend));
                }
                found.is_none()
            });
            walked.ok().and(found)
        })
    }

    /// As the dynamic loader finds them.
    fn dynamic_relocations(&self) -> Option<Section> {
        let dynamic = Section::of(self.segments.iter().find(|s| s.kind == elf::PT_DYNAMIC)?);
        let (mut address, mut bytes) = (None, None);
        let walked = self.for_each_entry::<Dyn64<LittleEndian>>(&dynamic, |entry| {
            let value = Some(entry.d_val.get(LittleEndian));
            match u32::try_from(entry.d_tag.get(LittleEndian)) {
                Ok(elf::DT_RELA) => address = value,
                Ok(elf::DT_RELASZ) => bytes = value,
                _ => {}
            }
            true
        });
        walked.ok()?;
        let mut table = dynamic;
        (table.offset, table.bytes) = (self.offset_of(address?)?, bytes?);
        Some(table)
    }
}
