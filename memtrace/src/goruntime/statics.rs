//! Variables of the runtime, gathered with one system call, without touching pages that the target never touched.
use super::RuntimeError;
use super::bytes::Bytes;
use super::memory::{Piece, ReadMemory, SYSTEM_PAGE_BYTES};
use super::sample::implausible;

/// Of all variables together: more is a damaged layout.
const BYTES_MAX: usize = 256 << 10;

/// A variable in the gathered bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    start: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) address: u64,
    pub(super) bytes: usize,
    /// Part of .bss, on a page that the target has not written yet: zeros, and not to be read. A read would map the
    /// zero page into the target.
    pub(super) is_untouched: bool,
    /// Nobody wants to know: its bytes stay zero.
    is_left_out: bool,
}

impl Part {
    pub(super) fn of(address: u64, bytes: usize, is_untouched: bool) -> Part {
        Part { address, bytes, is_untouched, is_left_out: false }
    }
}

/// A fixed list of variables and their bytes.
#[derive(Debug, Default)]
pub(super) struct Statics {
    parts: Vec<Part>,
    buffer: Vec<u8>,
}

impl Statics {
    /// A variable in .bss: on an untouched page it is zero.
    pub(super) fn add(&mut self, address: u64, bytes: u32) -> Result<Slot, RuntimeError> {
        let slot = Slot { start: self.buffer.len(), bytes: bytes as usize };
        let end = address.checked_add(u64::from(bytes));
        let (Some(end), true) = (end, slot.start + slot.bytes <= BYTES_MAX) else {
            return Err(RuntimeError::Implausible("a variable is too large, or not in the address space".to_owned()));
        };
        let mut from = address;
        while from < end {
            let to = end.min((from | (SYSTEM_PAGE_BYTES - 1)).saturating_add(1));
            let bytes = (to - from) as usize;
            self.parts.push(Part::of(from, bytes, true));
            from = to;
        }
        self.buffer.resize(slot.start + slot.bytes, 0);
        Ok(slot)
    }

    /// Some bytes of a variable, which are not read.
    pub(super) fn leave_out(&mut self, slot: Slot, offset: u32, bytes: u32) {
        let from = slot.start + slot.bytes.min(offset as usize);
        let to = slot.start + slot.bytes.min(offset.saturating_add(bytes) as usize);
        let mut start = 0;
        for part in std::mem::take(&mut self.parts) {
            let end = start + part.bytes;
            let (out_from, out_to) = (from.clamp(start, end), to.clamp(start, end));
            for (one, next, is_out) in [(start, out_from, false), (out_from, out_to, true), (out_to, end, false)] {
                if one < next {
                    let address = part.address + (one - start) as u64;
                    self.parts.push(Part {
                        address,
                        bytes: next - one,
                        is_left_out: part.is_left_out | is_out,
                        ..part
                    });
                }
            }
            start = end;
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Bytes<'_> {
        Bytes(self.buffer.get(slot.start..slot.start + slot.bytes).unwrap_or_default())
    }

    /// Where all of them are; none crosses a page. Only pages found untouched before are looked up again.
    pub(super) fn parts(&mut self, memory: &impl ReadMemory) -> Result<&[Part], RuntimeError> {
        let mut known = None;
        for part in self.parts.iter_mut().filter(|part| part.is_untouched && !part.is_left_out) {
            let page = part.address & !(SYSTEM_PAGE_BYTES - 1);
            let touched = match known {
                Some((at, touched)) if at == page => touched,
                _ => memory.is_touched(page)?,
            };
            known = Some((page, touched));
            part.is_untouched = !touched;
        }
        Ok(&self.parts)
    }

    /// Reads all of them, and `more`, with one call.
    pub(super) fn read(&mut self, memory: &impl ReadMemory, more: &mut [Piece<'_>]) -> Result<(), RuntimeError> {
        self.parts(memory)?;
        let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(self.parts.len() + more.len());
        let mut rest = self.buffer.as_mut_slice();
        for part in &self.parts {
            let (bytes, after) = std::mem::take(&mut rest).split_at_mut(part.bytes);
            rest = after;
            if !part.is_untouched && !part.is_left_out {
                pieces.push(Piece { address: part.address, buffer: bytes });
            }
        }
        pieces.extend(more.iter_mut().map(|piece| Piece { address: piece.address, buffer: &mut *piece.buffer }));
        Ok(memory.read_pieces(&mut pieces)?)
    }
}

/// `bytes` from each of the addresses, one after the other.
pub(super) fn gather(memory: &impl ReadMemory, addresses: &[u64], bytes: usize) -> Result<Vec<u8>, RuntimeError> {
    let mut buffer = vec![0u8; bytes.saturating_mul(addresses.len())];
    let parts = addresses.iter().zip(buffer.chunks_exact_mut(bytes.max(1)));
    let mut pieces: Vec<Piece<'_>> = parts.map(|(address, buffer)| Piece { address: *address, buffer }).collect();
    memory.read_pieces(&mut pieces)?;
    Ok(buffer)
}

pub(super) fn words(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word))
}

/// The words of a slice of pointers (address, length).
pub(super) fn pointers(
    memory: &impl ReadMemory,
    (address, length): (u64, u64),
    max: u64,
) -> Result<Vec<u64>, RuntimeError> {
    if length > max {
        return Err(implausible(&format!("a list of {length} pointers")));
    }
    let mut buffer = vec![0u8; 8 * length as usize];
    memory.read(address, &mut buffer)?;
    Ok(words(&buffer).collect())
}
