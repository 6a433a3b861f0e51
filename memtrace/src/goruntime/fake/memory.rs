//! A process made of bytes: a few recorded regions, and what a hostile one may show elsewhere.
use std::cell::Cell;
use std::io;

use crate::goruntime::layout::table::Entry;
use crate::goruntime::memory::{Piece, ReadMemory};
use crate::goruntime::{Globals, ReadBy, Runtime, Version};

/// Read in all: so much of a target is there. The fuzzer would take longer over more than the readers' two seconds.
const BYTES_MAX: u64 = 16 << 20;
/// What a read counts for beside its bytes: about as much as it takes time.
const READ_BYTES: u64 = 64;

/// Regions at their addresses. Elsewhere is nothing, or the same bytes over and over, so that every pointer leads
/// somewhere and lists have cycles.
#[derive(Debug)]
pub(crate) struct FakeMemory<'a> {
    regions: Vec<(u64, &'a [u8])>,
    elsewhere: &'a [u8],
    left_bytes: Cell<u64>,
}

impl<'a> FakeMemory<'a> {
    pub(crate) fn new(mut regions: Vec<(u64, &'a [u8])>, elsewhere: &'a [u8]) -> Self {
        regions.sort_by_key(|(address, _)| *address);
        FakeMemory { regions, elsewhere, left_bytes: Cell::new(BYTES_MAX) }
    }

    /// As much from `address` on as is in one piece.
    fn at(&self, address: u64) -> Option<&'a [u8]> {
        let after = self.regions.partition_point(|(start, _)| *start <= address);
        let region = self.regions[..after].last().and_then(|(start, bytes)| bytes.get((address - start) as usize..));
        let elsewhere = || self.elsewhere.get(address.checked_rem(self.elsewhere.len() as u64)? as usize..);
        region.filter(|bytes| !bytes.is_empty()).or_else(elsewhere)
    }
}

impl ReadMemory for FakeMemory<'_> {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        let unmapped = || io::Error::from_raw_os_error(libc::EFAULT);
        for Piece { address, buffer } in &mut *pieces {
            let taken = READ_BYTES + buffer.len() as u64;
            let left = self.left_bytes.get().checked_sub(taken).ok_or_else(unmapped)?;
            self.left_bytes.set(left);
            let mut done = 0;
            while done < buffer.len() {
                let bytes = address.checked_add(done as u64).and_then(|at| self.at(at)).ok_or_else(unmapped)?;
                let count = bytes.len().min(buffer.len() - done);
                buffer[done..done + count].copy_from_slice(&bytes[..count]);
                done += count;
            }
        }
        // As they may be left.
        pieces.reverse();
        Ok(())
    }
}

/// Minor and patch of the release, whether there is something elsewhere, the addresses of the variables, then regions:
/// address, length and so many bytes. As `cargo run --example snapshot` writes it.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Version, Globals, FakeMemory<'_>)> {
    let (head, mut rest) = bytes.split_first_chunk::<3>()?;
    let [minor, patch, is_elsewhere] = *head;
    let mut word = || {
        let (word, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        Some(u64::from_le_bytes(*word))
    };
    let globals = Globals::look_up(|_| word().filter(|address| *address != 0)).ok()?;
    let mut regions = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<12>() {
        let (address, length) = head.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length.first_chunk()?) as usize;
        let (region, after) = after.split_at(length.min(after.len()));
        regions.push((u64::from_le_bytes(*address), region));
        rest = after;
    }
    let elsewhere = if is_elsewhere & 1 == 1 { bytes } else { &[] };
    let version = Version::parse(&format!("go1.{minor}.{patch}"))?;
    Some((version, globals, FakeMemory::new(regions, elsewhere)))
}

/// A runtime of that release in that memory.
pub(crate) fn runtime<M: ReadMemory>(version: Version, entry: &Entry, globals: Globals, memory: M) -> Runtime<M> {
    let (layout, wait_reasons) = (entry.layout.clone(), entry.wait_reasons.clone());
    Runtime { version, layout, globals, read_by: ReadBy::Table, wait_reasons, memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_across_their_borders_and_nothing_between() {
        let memory = FakeMemory::new(vec![(104, &[5, 6]), (100, &[1, 2, 3, 4])], &[]);
        let mut buffer = [0; 4];
        memory.read(102, &mut buffer).unwrap();
        assert_eq!(buffer, [3, 4, 5, 6]);
        assert_eq!(memory.read(103, &mut buffer).unwrap_err().raw_os_error(), Some(libc::EFAULT));
    }

    #[test]
    fn elsewhere_the_bytes_come_again_and_again_but_not_for_ever() {
        let memory = FakeMemory::new(Vec::new(), &[1, 2, 3]);
        let mut buffer = [0; 5];
        memory.read(u64::MAX - 6, &mut buffer).unwrap();
        assert_eq!(buffer, [1, 2, 3, 1, 2], "2^64 - 7 is a multiple of 3");
        assert!(memory.read(0, &mut vec![0; 17 << 20]).is_err());
    }
}
