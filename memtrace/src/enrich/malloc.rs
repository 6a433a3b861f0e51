//! Large blocks of the C library's malloc: each has a mapping of its own, with malloc's header at its start.
use crate::aggregate::waterfall::{Segment, What};
use crate::goruntime::memory::{ProcessMemory, ReadMemory};
use crate::procfs::pagemap::Pagemap;
use crate::procfs::vmas::Vma;
use std::ops::Range;

/// More of one process are not looked for.
const BLOCKS_MAX: usize = 1 << 14;
/// `prev_size` and `size` (glibc malloc/malloc.c, struct malloc_chunk).
const HEADER_BYTES: usize = 16;
/// The flags in `size`; of a block with a mapping of its own only the middle one is set.
const FLAGS: u64 = 0b111;
const IS_MMAPPED: u64 = 0b010;

/// Reads headers only, of pages that the target has written. `known`: what is something else, by address.
pub(super) fn blocks<'a>(
    pid: u32,
    pagemap: &Pagemap,
    mappings: impl Iterator<Item = &'a Vma>,
    known: &[Range<u64>],
) -> Vec<Segment> {
    let page = ::procfs::page_size();
    let mut found = Vec::new();
    for vma in mappings {
        let mut at = vma.range.start;
        // Neighbours become one mapping, the runtime's own among them.
        while at < vma.range.end && found.len() < BLOCKS_MAX {
            let next = known.get(known.partition_point(|range| range.end <= at));
            at = if let Some(range) = next.filter(|range| range.start <= at) {
                range.end.next_multiple_of(page)
            } else if let Some(bytes) = block_bytes(pid, pagemap, at, page).filter(|b| *b <= vma.range.end - at) {
                found.push(Segment { range: at..at + bytes, what: What::Malloc });
                at + bytes
            } else {
                break;
            };
        }
    }
    found
}

fn block_bytes(pid: u32, pagemap: &Pagemap, at: u64, page: u64) -> Option<u64> {
    let mut is_resident = false;
    pagemap.scan(&(at..at + page), &mut |_| is_resident = true).ok()?;
    let mut header = [0; HEADER_BYTES];
    is_resident.then_some(())?;
    ProcessMemory { tgid: pid }.read(at, &mut header).ok()?;
    of_header(&header, page)
}

/// Of a block at the very start of its mapping.
fn of_header(header: &[u8; HEADER_BYTES], page: u64) -> Option<u64> {
    let [before, size] =
        [0, 8].map(|at| header.iter().skip(at).take(8).rev().fold(0, |n, byte| n << 8 | u64::from(*byte)));
    let bytes = size & !FLAGS;
    (before == 0 && size & FLAGS == IS_MMAPPED && bytes > 0 && bytes.is_multiple_of(page)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_header_of_a_block_with_a_mapping_of_its_own_counts() {
        let of = |before: u64, size: u64| {
            let mut header = [0; HEADER_BYTES];
            header[..8].copy_from_slice(&before.to_le_bytes());
            header[8..].copy_from_slice(&size.to_le_bytes());
            of_header(&header, 4096)
        };
        assert_eq!(of(0, 5 * 4096 + 2), Some(5 * 4096));
        for (before, size) in [(0, 0), (0, 2), (0, 5 * 4096), (0, 5 * 4096 + 3), (0, 4096 + 18), (64, 4096 + 2)] {
            assert_eq!(of(before, size), None, "{before} {size}");
        }
    }
}
