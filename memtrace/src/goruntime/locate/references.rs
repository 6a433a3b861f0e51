//! Which data a function touches: the addresses its instructions name relative to themselves.
use iced_x86::{Decoder, DecoderOptions, Register};
use object::elf;

/// Data addresses named in `code`, which is linked at `address`; in order, with repetitions.
pub(crate) fn references(machine: u16, code: &[u8], address: u64) -> Vec<u64> {
    match machine {
        elf::EM_X86_64 => amd64(code, address),
        elf::EM_AARCH64 => arm64(code, address),
        _ => Vec::new(),
    }
}

fn amd64(code: &[u8], address: u64) -> Vec<u64> {
    let instructions = Decoder::with_ip(64, code, address, DecoderOptions::NONE).into_iter();
    instructions.filter(|i| i.memory_base() == Register::RIP).map(|i| i.memory_displacement64()).collect()
}

/// ADRP puts a page into a register; what adds to that register, or loads and stores by it, names the address.
fn arm64(code: &[u8], address: u64) -> Vec<u64> {
    let mut pages = [None; 32];
    let mut found = Vec::new();
    for (index, word) in code.as_chunks::<4>().0.iter().enumerate() {
        let word = u32::from_le_bytes(*word);
        let (target, base) = ((word & 31) as usize, (word >> 5 & 31) as usize);
        let here = address.wrapping_add(4 * index as u64);
        if word & 0x9f00_0000 == 0x9000_0000 {
            let pages_away = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
            let away = i64::from((pages_away << 11).cast_signed() >> 11) << 12;
            pages[target] = Some((here & !0xfff).wrapping_add_signed(away));
            continue;
        }
        let immediate = u64::from(word >> 10 & 0xfff);
        // ADD (immediate, 64 bit), with or without a shift by 12.
        if word & 0xff80_0000 == 0x9100_0000 {
            let added = if word >> 22 & 1 == 1 { immediate << 12 } else { immediate };
            let sum = pages[base].map(|page: u64| page.wrapping_add(added));
            found.extend(sum);
            // What is loaded from the sum is a further offset.
            pages[target] = sum;
        // Load or store with an unsigned offset, in units of its size.
        } else if word & 0x3b00_0000 == 0x3900_0000 {
            let vector_128 = word >> 26 & 1 == 1 && word >> 23 & 1 == 1;
            let scale = if vector_128 { 4 } else { word >> 30 };
            found.extend(pages[base].map(|page| page.wrapping_add(immediate << scale)));
            // A load overwrites its register.
            if word >> 26 & 1 == 0 && word >> 22 & 3 != 0 {
                pages[target] = None;
            }
        // BL and BLR: Go functions keep no register.
        } else if word & 0xfc00_0000 == 0x9400_0000 || word & 0xffff_fc1f == 0xd63f_0000 {
            pages = [None; 32];
        // Any other data processing, by immediate or by register, overwrites its register.
        } else if matches!(word >> 25 & 15, 8 | 9 | 5 | 13) {
            pages[target] = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amd64_names_data_relative_to_the_next_instruction() {
        // mov rax, [rip+0x10]; lea rcx, [rip-1]; mov rax, [rcx+8]; cmp dword [rip+2], 1
        let code = [
            0x48, 0x8b, 0x05, 0x10, 0, 0, 0, 0x48, 0x8d, 0x0d, 0xff, 0xff, 0xff, 0xff, 0x48, 0x8b, 0x41, 0x08, 0x83,
            0x3d, 2, 0, 0, 0, 1,
        ];
        assert_eq!(references(elf::EM_X86_64, &code, 0x1000), [0x1017, 0x100d, 0x101b]);
    }

    #[test]
    fn arm64_names_data_by_page_and_offset() {
        // adrp x27, +2 pages; ldr x1, [x27, #16]; adrp x0, 0; add x0, x0, #0x123
        let words = [0xd000_001bu32, 0xf940_0b61, 0x9000_0000, 0x9104_8c00];
        let code: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(references(elf::EM_AARCH64, &code, 0x1_0008), [0x1_2010, 0x1_0123]);
    }

    #[test]
    fn arm64_registers_are_forgotten_when_they_are_overwritten() {
        // adrp x0, 0; add x0, x0, #0x100; call or move to x0; ldr x1, [x0, #8]
        for (between, also) in
            [(0xd503_201fu32, &[0x1_0108][..]), (0x9400_0001, &[]), (0xd63f_0040, &[]), (0xaa01_03e0, &[])]
        {
            let words = [0x9000_0000, 0x9104_0000, between, 0xf940_0401];
            let code: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_le_bytes()).collect();
            let found = references(elf::EM_AARCH64, &code, 0x1_0000);
            assert_eq!(found, [&[0x1_0100], also].concat(), "{between:#x}");
        }
    }

    #[test]
    fn any_bytes_are_decoded() {
        let bytes: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for machine in [elf::EM_X86_64, elf::EM_AARCH64, 0] {
            for start in 0..8 {
                references(machine, &bytes[start..], u64::MAX - 7);
            }
        }
    }
}
