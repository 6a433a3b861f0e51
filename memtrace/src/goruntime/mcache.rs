//! What each P keeps for itself (Go mcache.go, mpagecache.go): spans to allocate from, free stacks, free pages. No
//! statistic of the runtime shows it.
use super::bytes::Bytes;
use super::layout::Layout;
use super::memory::ReadMemory;
use super::memstats::{CLASSES, Unflushed};
use super::runtime::{Runtime, RuntimeError};
use super::spans::GO_PAGE_BYTES;
use super::statics::{gather, pointers, words};

/// GOMAXPROCS is at most so large (Go runtime2.go allows any; hosts have no more CPUs).
pub(super) const PS_MAX: u64 = 1 << 14;
/// `numSpanClasses` (Go mheap.go).
pub(super) const SPAN_CLASSES: usize = 2 * CLASSES;
/// `_NumStackOrders` on Linux (Go malloc.go).
const STACK_ORDERS: u32 = 4;

/// What one P holds. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PCache {
    /// `p.id`.
    pub id: u32,
    /// Spans to allocate from, at most one for each span class.
    pub spans: u64,
    pub span_bytes: u64,
    /// Slots still free in them: nobody else can use these.
    pub free_bytes: u64,
    /// Allocated from them and in no statistics yet.
    pub unflushed_objects: u64,
    pub unflushed_bytes: u64,
    /// Allocations of the tiny allocator, in no statistics yet.
    pub tiny_allocs: u64,
    /// Free stacks; StackInuse counts them as used.
    pub stack_bytes: u64,
    /// Free pages taken out of the heap's bitmaps, and how much of them was given back to the kernel.
    pub page_bytes: u64,
    pub page_released_bytes: u64,
    /// Its spans were swept since the last collection.
    pub is_flushed: bool,
}

/// `pageCache`: a bit for each of 64 pages.
pub(super) struct PageCache {
    pub(super) base: u64,
    pub(super) free: u64,
    pub(super) released: u64,
}

/// The spans in the caches of some Ps.
pub(super) struct Held {
    pub(super) places: HeldAt,
    tiny_allocs: Vec<u64>,
    /// The spans, one after the other.
    bytes: Vec<u8>,
}

/// Where they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HeldAt {
    /// Addresses of the mcaches; 0: a P that has none, since GOMAXPROCS was lowered.
    pub(super) caches: Vec<u64>,
    /// Index of the cache, span class.
    classes: Vec<(u32, u16)>,
    /// The span itself.
    pub(super) spans: Vec<u64>,
}

pub(super) struct HeldSpan {
    pub(super) cache: usize,
    /// Size class.
    pub(super) class: usize,
    /// Objects in no statistics yet.
    pub(super) unflushed: u16,
    free: u64,
    elem_bytes: u64,
    pages: u64,
}

impl Held {
    /// What ReadMemStats would flush first.
    pub(super) fn unflushed(&self, layout: &Layout) -> Result<Unflushed, RuntimeError> {
        let tiny_allocs = self.tiny_allocs.iter().fold(0u64, |sum, count| sum.wrapping_add(*count));
        let mut unflushed = Unflushed { tiny_allocs, ..Unflushed::default() };
        for span in self.spans(layout) {
            let span = span?;
            if let Some(objects) = unflushed.objects.get_mut(span.class) {
                *objects += i64::from(span.unflushed);
            }
        }
        Ok(unflushed)
    }

    pub(super) fn spans(&self, layout: &Layout) -> impl Iterator<Item = Result<HeldSpan, RuntimeError>> {
        let mspan = layout.mspan;
        let classes = self.places.classes.iter();
        classes.zip(self.bytes.chunks_exact(mspan.bytes.max(1) as usize)).map(move |(place, bytes)| {
            let span = Bytes(bytes);
            let (all, before) = (span.u16(mspan.alloc_count)?, span.u16(mspan.alloc_count_before_cache)?);
            let elems = if mspan.nelems_bytes == 8 { span.u64(mspan.nelems)? } else { span.u16(mspan.nelems)?.into() };
            Ok(HeldSpan {
                cache: place.0 as usize,
                class: usize::from(place.1) / 2,
                // A span that was exchanged under the reader may have less than before.
                unflushed: all.saturating_sub(before),
                free: elems.saturating_sub(all.into()),
                elem_bytes: span.u64(mspan.elemsize)?,
                pages: span.u64(mspan.npages)?,
            })
        })
    }
}

impl<M: ReadMemory> Runtime<M> {
    /// Every P's cache. One that is exchanged meanwhile is a little of both.
    pub fn p_caches(&self) -> Result<Vec<PCache>, RuntimeError> {
        let layout = &*self.layout;
        let ps = self.ps()?;
        let ids = self.of_each(&ps, layout.p.id, 4)?;
        let addresses = self.caches(&ps)?;
        let mut sweepgen = [0; 4];
        self.memory.read(self.globals.mheap.saturating_add(layout.mheap.sweepgen.into()), &mut sweepgen)?;
        let mut caches: Vec<PCache> = Vec::with_capacity(ps.len());
        for (id, pages) in ids.chunks_exact(4).zip(self.page_caches(&ps)?) {
            let page_bytes = |bits: u64| u64::from(bits.count_ones()) * GO_PAGE_BYTES;
            caches.push(PCache {
                id: Bytes(id).u32(0)?,
                page_bytes: page_bytes(pages.free),
                page_released_bytes: page_bytes(pages.free & pages.released),
                ..PCache::default()
            });
        }
        let held = self.held(addresses)?;
        let addresses = &held.places.caches;
        let mcache_bytes = layout.mcache.bytes as usize;
        let mcaches = self.of_each(&having(addresses), 0, mcache_bytes)?;
        let all = caches.iter_mut().zip(addresses).zip(&held.tiny_allocs).filter(|((_, address), _)| **address != 0);
        for (((cache, _), tiny_allocs), bytes) in all.zip(mcaches.chunks_exact(mcache_bytes.max(1))) {
            let bytes = Bytes(bytes);
            cache.tiny_allocs = *tiny_allocs;
            cache.is_flushed = bytes.u32(layout.mcache.flush_gen)? == u32::from_le_bytes(sweepgen);
            for order in 0..STACK_ORDERS {
                let list = layout.mcache.stackcache.saturating_add(order.saturating_mul(layout.stack_free_list.bytes));
                let size = bytes.u64(list.saturating_add(layout.stack_free_list.size))?;
                cache.stack_bytes = cache.stack_bytes.saturating_add(size);
            }
        }
        for span in held.spans(layout) {
            let span = span?;
            let Some(cache) = caches.get_mut(span.cache) else { continue };
            let bytes = |objects: u64| objects.saturating_mul(span.elem_bytes);
            cache.spans += 1;
            cache.span_bytes = cache.span_bytes.saturating_add(span.pages.saturating_mul(GO_PAGE_BYTES));
            cache.free_bytes = cache.free_bytes.saturating_add(bytes(span.free));
            cache.unflushed_objects += u64::from(span.unflushed);
            cache.unflushed_bytes = cache.unflushed_bytes.saturating_add(bytes(span.unflushed.into()));
        }
        Ok(caches)
    }

    /// Addresses of all Ps.
    pub(super) fn ps(&self) -> Result<Vec<u64>, RuntimeError> {
        pointers(&self.memory, self.slice(self.globals.allp)?, PS_MAX)
    }

    pub(super) fn page_caches(&self, ps: &[u64]) -> Result<Vec<PageCache>, RuntimeError> {
        let layout = &self.layout.page_cache;
        let bytes = layout.bytes.max(1) as usize;
        let caches = self.of_each(ps, self.layout.p.pcache, bytes)?;
        let of = |cache: &[u8]| {
            let word = |at: u32| Bytes(cache).u64(at);
            Ok(PageCache { base: word(layout.base)?, free: word(layout.cache)?, released: word(layout.scav)? })
        };
        caches.chunks_exact(bytes).map(of).collect()
    }

    /// `bytes` at the same place in each P.
    pub(super) fn of_each(&self, ps: &[u64], offset: u32, bytes: usize) -> Result<Vec<u8>, RuntimeError> {
        let addresses: Vec<u64> = ps.iter().map(|p| p.saturating_add(offset.into())).collect();
        gather(&self.memory, &addresses, bytes)
    }

    /// Addresses of their mcaches; 0: one that has none, since GOMAXPROCS was lowered.
    pub(super) fn caches(&self, ps: &[u64]) -> Result<Vec<u64>, RuntimeError> {
        Ok(words(&self.of_each(ps, self.layout.p.mcache, 8)?).collect())
    }

    /// The spans that those caches hold.
    pub(super) fn held(&self, caches: Vec<u64>) -> Result<Held, RuntimeError> {
        let layout = &*self.layout;
        let (offset, bytes) = window(layout);
        let windows = self.of_each(&having(&caches), offset, bytes)?;
        let (places, tiny_allocs) = held_at(layout, caches, &windows)?;
        let bytes = gather(&self.memory, &places.spans, layout.mspan.bytes as usize)?;
        Ok(Held { places, tiny_allocs, bytes })
    }
}

/// What is read of an mcache, offset and bytes: from the tiny allocations to the last span.
pub(super) fn window(layout: &Layout) -> (u32, usize) {
    let (tiny_at, spans_at) = (layout.mcache.tiny_allocs, layout.mcache.alloc);
    (tiny_at, spans_at.saturating_sub(tiny_at) as usize + 8 * SPAN_CLASSES)
}

impl Held {
    /// Of the windows of these mcaches and the spans, if they are still at `places`.
    pub(super) fn still(
        layout: &Layout,
        places: &HeldAt,
        caches: Vec<u64>,
        windows: &[u8],
        spans: Vec<u8>,
    ) -> Result<Option<Held>, RuntimeError> {
        if caches != places.caches {
            return Ok(None);
        }
        let (now, tiny_allocs) = held_at(layout, caches, windows)?;
        Ok((now == *places).then_some(Held { places: now, tiny_allocs, bytes: spans }))
    }
}

/// By the windows of those that are one; with the tiny allocations of each.
fn held_at(layout: &Layout, caches: Vec<u64>, windows: &[u8]) -> Result<(HeldAt, Vec<u64>), RuntimeError> {
    let (_, window) = window(layout);
    let mut windows = windows.chunks_exact(window.max(1));
    let (mut tiny_allocs, mut spans) = (Vec::with_capacity(caches.len()), Vec::new());
    for (index, address) in (0..).zip(&caches) {
        let Some(cache) = (if *address == 0 { None } else { windows.next() }) else {
            tiny_allocs.push(0);
            continue;
        };
        tiny_allocs.push(Bytes(cache).u64(0)?);
        let held = words(cache.get(window - 8 * SPAN_CLASSES..).unwrap_or_default());
        spans.extend((0..).zip(held).filter(|(_, span)| *span != 0).map(|(class, span)| ((index, class), span)));
    }
    // The one span that stands for none is in most places.
    let empty = most_frequent(spans.iter().map(|(_, span)| *span).collect());
    spans.retain(|(_, span)| Some(*span) != empty);
    let (classes, spans) = spans.into_iter().unzip();
    Ok((HeldAt { caches, classes, spans }, tiny_allocs))
}

/// Without those that are none.
pub(super) fn having(caches: &[u64]) -> Vec<u64> {
    caches.iter().copied().filter(|cache| *cache != 0).collect()
}

fn most_frequent(mut addresses: Vec<u64>) -> Option<u64> {
    addresses.sort_unstable();
    let runs = addresses.chunk_by(|a, b| a == b).filter(|run| run.len() > 1);
    runs.max_by_key(|run| run.len()).and_then(|run| run.first().copied())
}
