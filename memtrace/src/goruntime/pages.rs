//! Free memory of the heap by the page allocator's bitmaps (Go mpagealloc.go): kept, or given back to the kernel.
use std::ops::Range;

use super::bytes::Bytes;
use super::memory::ReadMemory;
use super::runtime::{Runtime, RuntimeError};
use super::sample::implausible;
use super::spans::GO_PAGE_BYTES;
use super::statics::words;

/// `pallocChunkPages` (Go mpagealloc.go).
const CHUNK_PAGES: u64 = 512;
pub(super) const CHUNK_BYTES: u64 = CHUNK_PAGES * GO_PAGE_BYTES;
/// `pallocChunksL2Bits` (Go mpagealloc_64bit.go).
pub(super) const L2_ENTRIES: u64 = 1 << 13;
/// `arenaBaseOffset` (Go malloc.go): chunks count from here.
const BASE: u64 = if cfg!(target_arch = "x86_64") { 0xffff_8000_0000_0000 } else { 0 };
const ARENAS_MAX: u64 = 1 << 16;
/// Of all lists together: 16 MiB.
const RANGES_MAX: usize = 1 << 20;
/// More address space than any heap has.
const ARENAS_MAX_BYTES: u64 = 1 << 42;
/// Chunks read at a time.
const BATCH: u64 = 1 << 12;

/// Address ranges, sorted and merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreePages {
    /// Free and backed by memory: HeapIdle less HeapReleased.
    pub idle: Vec<Range<u64>>,
    /// Free and given back.
    pub released: Vec<Range<u64>>,
    /// Go 1.26 and later start the heap somewhere inside its first chunk. What is before counts as released there and
    /// is never used.
    pub padding: Vec<Range<u64>>,
    /// All memory the page allocator manages.
    pub arenas: Vec<Range<u64>>,
}

impl FreePages {
    pub fn idle_bytes(&self) -> u64 {
        sum(&self.idle)
    }

    /// Without the padding.
    pub fn released_bytes(&self) -> u64 {
        sum(&self.released)
    }

    pub fn padding_bytes(&self) -> u64 {
        sum(&self.padding)
    }

    fn push(&mut self, range: Range<u64>, is_taken: bool, is_released: bool) -> Result<(), RuntimeError> {
        let count = self.idle.len() + self.released.len() + self.padding.len();
        let list = match (is_taken, is_released) {
            // Never so of a page that is in use.
            (true, true) => &mut self.padding,
            (true, false) => return Ok(()),
            (false, true) => &mut self.released,
            (false, false) => &mut self.idle,
        };
        match list.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ if count == RANGES_MAX => return Err(implausible("too many free ranges")),
            _ => list.push(range),
        }
        Ok(())
    }

    /// 64 pages from `start` on.
    fn word(&mut self, start: u64, allocated: u64, scavenged: u64) -> Result<(), RuntimeError> {
        let mut at = 0;
        while at < 64 {
            let (is_taken, is_released) = (allocated >> at & 1 == 1, scavenged >> at & 1 == 1);
            let same = |word: u64, is_set: bool| {
                if is_set { (word >> at).trailing_ones() } else { (word >> at).trailing_zeros() }
            };
            let run = same(allocated, is_taken).min(same(scavenged, is_released)).min(64 - at);
            let address = |page: u32| start.wrapping_add(u64::from(page) * GO_PAGE_BYTES);
            self.push(address(at)..address(at + run), is_taken, is_released)?;
            at += run;
        }
        Ok(())
    }
}

fn sum(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().fold(0, |sum: u64, range| sum.saturating_add(range.end.saturating_sub(range.start)))
}

impl<M: ReadMemory> Runtime<M> {
    /// Sums equal HeapIdle and HeapReleased (less the padding) at rest.
    pub fn free_pages(&self) -> Result<FreePages, RuntimeError> {
        let mut free = FreePages { arenas: self.arenas()?, ..FreePages::default() };
        for arena in free.arenas.clone() {
            let (mut chunk, end) = (chunk_of(arena.start), chunk_of(arena.end.saturating_sub(1)).saturating_add(1));
            while chunk < end {
                let inside = chunk % L2_ENTRIES;
                let count = BATCH.min(end - chunk).min(L2_ENTRIES - inside);
                if let Some(table) = self.chunk_table(chunk / L2_ENTRIES)? {
                    let data = u64::from(self.layout.palloc_data.bytes);
                    let mut bytes = vec![0; (count * data) as usize];
                    self.memory.read(table.saturating_add(inside * data), &mut bytes)?;
                    for (index, bitmaps) in bytes.chunks_exact(data.max(1) as usize).enumerate() {
                        self.chunk(&mut free, chunk + index as u64, Bytes(bitmaps), &arena)?;
                    }
                }
                chunk += count;
            }
        }
        // Pages that a P has taken out of the bitmaps and not used yet are free as well.
        for cache in self.page_caches(&self.ps()?)? {
            free.word(cache.base, !cache.free, cache.released & cache.free)?;
        }
        for list in [&mut free.idle, &mut free.released, &mut free.padding] {
            list.sort_unstable_by_key(|range| range.start);
        }
        Ok(free)
    }

    fn chunk(
        &self,
        free: &mut FreePages,
        chunk: u64,
        bitmaps: Bytes<'_>,
        arena: &Range<u64>,
    ) -> Result<(), RuntimeError> {
        let start = BASE.wrapping_add(chunk.wrapping_mul(CHUNK_BYTES));
        let layout = &self.layout.palloc_data;
        let allocated = bitmaps.words::<8>(layout.alloc)?;
        let scavenged = bitmaps.words::<8>(layout.scavenged)?;
        for (index, (allocated, scavenged)) in (0u64..).zip(allocated.into_iter().zip(scavenged)) {
            let word_start = start.wrapping_add(index * 64 * GO_PAGE_BYTES);
            let outside = outside(word_start, arena);
            free.word(word_start, allocated | outside, scavenged & !outside)?;
        }
        Ok(())
    }

    /// The ranges of `pageAlloc.inUse`.
    fn arenas(&self) -> Result<Vec<Range<u64>>, RuntimeError> {
        let at = self.page_alloc().saturating_add(self.layout.page_alloc.in_use.into());
        let (list, length) = self.slice(at.saturating_add(self.layout.addr_ranges.ranges.into()))?;
        if length > ARENAS_MAX {
            return Err(implausible(&format!("{length} ranges of arenas")));
        }
        let mut bytes = vec![0; 16 * length as usize];
        self.memory.read(list, &mut bytes)?;
        let words: Vec<u64> = words(&bytes).collect();
        let ranges = words.as_chunks::<2>().0.iter().map(|[base, limit]| *base..*limit);
        let ranges: Vec<Range<u64>> = ranges.filter(|range| range.start < range.end).collect();
        if sum(&ranges) > ARENAS_MAX_BYTES || ranges.iter().any(|range| !range.start.is_multiple_of(GO_PAGE_BYTES)) {
            return Err(implausible("arenas larger than any heap"));
        }
        Ok(ranges)
    }

    pub(super) fn page_alloc(&self) -> u64 {
        self.globals.mheap.saturating_add(self.layout.mheap.pages.into())
    }

    /// The bitmaps of 8192 chunks; `None`: none of them in use.
    pub(super) fn chunk_table(&self, index: u64) -> Result<Option<u64>, RuntimeError> {
        if index >= L2_ENTRIES {
            return Err(implausible("a chunk beyond the address space"));
        }
        let chunks = self.page_alloc().saturating_add(self.layout.page_alloc.chunks.into());
        let table = self.memory.read_u64(chunks.saturating_add(8 * index))?;
        Ok(Some(table).filter(|table| *table != 0))
    }
}

pub(super) fn chunk_of(address: u64) -> u64 {
    address.wrapping_sub(BASE) / CHUNK_BYTES
}

/// Bits of the 64 pages from `start` on that are not in the arena.
fn outside(start: u64, arena: &Range<u64>) -> u64 {
    let mut bits = 0;
    let is_inside = |page: u64| arena.contains(&start.wrapping_add(page * GO_PAGE_BYTES));
    if is_inside(0) && is_inside(63) {
        return 0;
    }
    for page in (0..64).filter(|page| !is_inside(*page)) {
        bits |= 1 << page;
    }
    bits
}
