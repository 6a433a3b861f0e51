//! Where the runtime keeps what it knows of the heap: ranges of memory that are neither objects nor stacks.
use std::collections::HashSet;
use std::ops::Range;

use super::bytes::Bytes;
use super::memory::ReadMemory;
use super::pages::L2_ENTRIES;
use super::runtime::{Runtime, RuntimeError};
use super::statics::words;

/// `persistentChunkSize` (Go malloc.go).
const PERSISTENT_BYTES: u64 = 256 << 10;
/// `buckHashSize` (Go mprof.go), in pointers.
const BUCKET_HASH_BYTES: u64 = 179_999 * 8;
/// `arenas` is one array of 4 Mi pointers on Linux (Go malloc.go, arenaL2Bits).
const ARENA_INDEX_BYTES: u64 = (1 << 22) * 8;
/// `summaryLevels` (Go mpagealloc_64bit.go).
const SUMMARY_LEVELS: u64 = 5;
/// Of every list: more is a damaged one.
const LIST_MAX: usize = 1 << 17;
/// Of 64 MiB each.
const ARENAS_MAX: u64 = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataKind {
    /// Never freed: mspans, mcaches, profiling buckets, finalizers and other small structures.
    Persistent,
    /// Mark and allocation bits.
    GcBits,
    /// Page allocator: summaries, bitmaps, scavenge index.
    PageAllocator,
    /// Which arena is where, and what is known of each.
    Arenas,
    /// The list of all spans.
    SpanTable,
    /// Hash table of the profiles' buckets.
    Profiling,
    /// The system stack of a thread.
    ThreadStack,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRange {
    pub kind: MetadataKind,
    pub range: Range<u64>,
}

struct Found(Vec<MetadataRange>);

impl Found {
    fn add(&mut self, kind: MetadataKind, start: u64, bytes: u64) {
        if let Some(end) = start.checked_add(bytes).filter(|_| start != 0 && bytes > 0) {
            self.0.push(MetadataRange { kind, range: start..end });
        }
    }
}

impl<M: ReadMemory> Runtime<M> {
    /// Sorted by start. Ranges are reserved memory, of which a part is resident; variables that were not found in this
    /// binary leave their ranges out.
    pub fn metadata(&self) -> Result<Vec<MetadataRange>, RuntimeError> {
        let mut found = Found(Vec::new());
        self.persistent(&mut found)?;
        self.gc_bits(&mut found)?;
        self.page_allocator(&mut found)?;
        self.arena_metadata(&mut found)?;
        let spans = self.globals.mheap.saturating_add(self.layout.mheap.allspans.into());
        found.add(MetadataKind::SpanTable, self.memory.read_u64(spans)?, 8 * self.capacity(spans)?);
        found.add(MetadataKind::Profiling, self.variable(self.globals.buckhash)?, BUCKET_HASH_BYTES);
        self.thread_stacks(&mut found)?;
        found.0.sort_by_key(|found| (found.range.start, found.kind));
        Ok(found.0)
    }

    /// A pointer variable; 0 where its page was never written, and so must not be read.
    fn variable(&self, address: Option<u64>) -> Result<u64, RuntimeError> {
        match address {
            Some(address) if self.memory.is_touched(address)? => Ok(self.memory.read_u64(address)?),
            _ => Ok(0),
        }
    }

    /// Of a slice variable.
    fn capacity(&self, slice: u64) -> Result<u64, RuntimeError> {
        Ok(self.memory.read_u64(slice.saturating_add(16))?.min(1 << 40))
    }

    fn persistent(&self, found: &mut Found) -> Result<(), RuntimeError> {
        let first = self.variable(self.globals.persistent_chunks)?;
        self.list(first, 0, |chunk| found.add(MetadataKind::Persistent, chunk, PERSISTENT_BYTES))
    }

    fn gc_bits(&self, found: &mut Found) -> Result<(), RuntimeError> {
        let Some(lists) = self.globals.gc_bits_arenas else { return Ok(()) };
        let (layout, bytes) = (&self.layout.gc_bits_arenas, self.layout.gc_bits_arena.bytes.into());
        for head in [layout.free, layout.next, layout.current, layout.previous] {
            let first = self.variable(Some(lists.saturating_add(head.into())))?;
            let next = self.layout.gc_bits_arena.next;
            self.list(first, next, |arena| found.add(MetadataKind::GcBits, arena, bytes))?;
        }
        Ok(())
    }

    /// The elements of a linked list with the pointer to the next at `next`; a cycle ends it.
    fn list(&self, first: u64, next: u32, mut visit: impl FnMut(u64)) -> Result<(), RuntimeError> {
        let mut seen = HashSet::new();
        let mut at = first;
        while at != 0 && seen.len() < LIST_MAX && seen.insert(at) {
            visit(at);
            at = self.memory.read_u64(at.saturating_add(next.into()))?;
        }
        Ok(())
    }

    fn page_allocator(&self, found: &mut Found) -> Result<(), RuntimeError> {
        let (pages, layout) = (self.page_alloc(), &self.layout.page_alloc);
        let at = |offset: u32| pages.saturating_add(offset.into());
        for level in 0..SUMMARY_LEVELS {
            let slice = at(layout.summary).saturating_add(24 * level);
            found.add(MetadataKind::PageAllocator, self.memory.read_u64(slice)?, 8 * self.capacity(slice)?);
        }
        let (start, end) = (self.memory.read_u64(at(layout.start))?, self.memory.read_u64(at(layout.end))?);
        if start < end && end / L2_ENTRIES < L2_ENTRIES {
            for index in start / L2_ENTRIES..=(end - 1) / L2_ENTRIES {
                // Between distant arenas the table was never written.
                let entry = at(layout.chunks).saturating_add(8 * index);
                let table = self.variable(Some(entry))?;
                found.add(MetadataKind::PageAllocator, table, L2_ENTRIES * u64::from(self.layout.palloc_data.bytes));
            }
        }
        if let Some(index) = layout.scav_index {
            let slice = at(index).saturating_add(self.layout.scavenge_index.chunks.into());
            // Entries of one byte up to Go 1.20, of eight since.
            let bytes = if self.version.minor >= 21 { 8 } else { 1 };
            found.add(MetadataKind::PageAllocator, self.memory.read_u64(slice)?, bytes * self.capacity(slice)?);
        }
        Ok(())
    }

    fn arena_metadata(&self, found: &mut Found) -> Result<(), RuntimeError> {
        let at = |offset: u32| self.globals.mheap.saturating_add(offset.into());
        let index = self.memory.read_u64(at(self.layout.mheap.arenas))?;
        found.add(MetadataKind::Arenas, index, ARENA_INDEX_BYTES);
        let (list, length) = self.slice(at(self.layout.mheap.all_arenas))?;
        let mut bytes = vec![0; 8 * length.min(ARENAS_MAX) as usize];
        self.memory.read(list, &mut bytes)?;
        let entries = words(&bytes).filter(|arena| *arena < ARENA_INDEX_BYTES / 8);
        for entry in entries.map(|arena| index.saturating_add(8 * arena)) {
            let arena = self.memory.read_u64(entry)?;
            found.add(MetadataKind::Arenas, arena, self.layout.heap_arena.bytes.into());
        }
        Ok(())
    }

    /// Of no thread when the list ends long before the threads that the scheduler counts: then the place of its links
    /// is that of another patch of this release.
    fn thread_stacks(&self, found: &mut Found) -> Result<(), RuntimeError> {
        let counted = |at: u32| self.memory.read_u64(self.globals.sched.saturating_add(at.into()));
        let count = counted(self.layout.sched.mnext)?.saturating_sub(counted(self.layout.sched.nmfreed)?);
        let first = self.variable(self.globals.allm)?;
        let mut threads = Vec::new();
        self.list(first, self.layout.m.alllink, |m| threads.push(m))?;
        if 2 * (threads.len() as u64) < count.min(LIST_MAX as u64) {
            return Ok(());
        }
        for m in threads {
            let g0 = self.memory.read_u64(m.saturating_add(self.layout.m.g0.into()))?;
            if g0 == 0 {
                continue;
            }
            let mut stack = [0; 16];
            self.memory.read(g0.saturating_add(self.layout.g.stack.into()), &mut stack)?;
            let (low, high) = (Bytes(&stack).u64(0)?, Bytes(&stack).u64(8)?);
            found.add(MetadataKind::ThreadStack, low, high.saturating_sub(low));
        }
        Ok(())
    }
}
