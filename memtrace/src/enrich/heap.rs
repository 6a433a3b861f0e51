//! The Go heap of one instant, as ranges for the waterfall.
use crate::aggregate::waterfall::{Metadata, Segment, What};
use crate::goruntime::metadata::{MetadataKind, MetadataRange};
use crate::goruntime::mheap::Allocator;
use crate::goruntime::pages::FreePages;
use crate::goruntime::spans::{Classes, GO_PAGE_BYTES, Span, SpanState};
use crate::goruntime::{Runtime, RuntimeError, Sample};
use std::ops::Range;

/// Spans kept one by one, 24 MiB of them. Of more, neighbours of a kind become one: then the free slots of a span may
/// be taken for objects that its neighbour has in pages that are not resident.
const SPANS_MAX: usize = 1 << 20;
/// The smallest slot; all others are multiples of it.
const SLOT_BYTES: u64 = 8;

/// What is known of a Go heap. Compact: the span lists of large heaps are long.
pub(super) struct Heap {
    pub(super) sample: Sample,
    pub(super) allocator: Allocator,
    spans: Vec<Held>,
    free: FreePages,
    metadata: Vec<MetadataRange>,
}

/// A span, or neighbours alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    start: u64,
    pages: u32,
    /// Free slots, and what is behind the last; in units of [`SLOT_BYTES`].
    free: u32,
    tail: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Objects,
    Unswept,
    Stacks,
    Work,
}

impl Heap {
    pub(super) fn read(runtime: &Runtime) -> Result<Heap, RuntimeError> {
        let sample = runtime.sample()?;
        let metadata = runtime.metadata()?;
        let (mut spans, mut classes) = (Vec::new(), Classes::default());
        let (dead_spans, damaged_spans) = runtime.walk_spans(|span| {
            classes.add(&span);
            keep(&mut spans, Held::of(&span), SPANS_MAX)
        })?;
        if spans.len() >= SPANS_MAX {
            return Err(RuntimeError::Implausible(format!("more than {SPANS_MAX} spans that are not alike")));
        }
        spans.sort_unstable_by_key(|span| span.start);
        let free = runtime.free_pages()?;
        let (mheap, p_caches) = (runtime.mheap()?, runtime.p_caches()?);
        let allocator = Allocator { mheap, p_caches, classes, dead_spans, damaged_spans };
        Ok(Heap { sample, allocator, spans, free, metadata })
    }

    /// Where metadata is: by address, disjoint.
    pub(super) fn metadata_ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in self.metadata.iter().map(|known| &known.range) {
            match ranges.last_mut().filter(|last| range.start <= last.end) {
                Some(last) => last.end = last.end.max(range.end),
                None => ranges.push(range.clone()),
            }
        }
        ranges
    }

    fn lists(&self) -> [Segments<'_>; 5] {
        let Heap { spans, free, metadata, .. } = self;
        [
            Box::new(spans.iter().map(Held::segment)),
            pages(&free.idle, What::Idle),
            pages(&free.released, What::Released),
            // A huge page may reach into it.
            pages(&free.padding, What::Released),
            Box::new(metadata.iter().map(|of| Segment { range: of.range.clone(), what: What::Metadata(kind(of)) })),
        ]
    }
}

/// Sorted by address.
type Segments<'a> = Box<dyn Iterator<Item = Segment> + 'a>;

/// Of the Go heap and of malloc, by address and disjoint. A running target moves spans and pages between the readings:
/// where two claim the same memory the earlier start wins, and what of the other is behind its end.
pub(super) fn segments<'a>(heap: Option<&'a Heap>, malloc: &'a [Segment]) -> impl Iterator<Item = Segment> + 'a {
    let mut lists: Vec<Segments<'a>> = heap.into_iter().flat_map(Heap::lists).collect();
    lists.push(Box::new(malloc.iter().cloned()));
    disjoint(lists)
}

/// Adds to the list; a full one is first made shorter. Whether that was possible.
fn keep(spans: &mut Vec<Held>, span: Held, max: usize) -> bool {
    spans.push(span);
    if spans.len() < max {
        return true;
    }
    spans.sort_unstable_by_key(|span| span.start);
    spans.dedup_by(|next, span| span.join(next));
    // Each time at least a quarter, or it would be done again and again.
    spans.len() <= max / 4 * 3
}

/// Joins sorted lists; of equal starts the earlier list's comes first.
fn disjoint<'a>(lists: Vec<Segments<'a>>) -> impl Iterator<Item = Segment> + 'a {
    let mut lists: Vec<_> = lists.into_iter().map(Iterator::peekable).collect();
    let mut end = 0;
    std::iter::from_fn(move || {
        loop {
            let starts = lists.iter_mut().map(|list| (list.peek().map_or(u64::MAX, |first| first.range.start), list));
            let Segment { range, what } = starts.min_by_key(|(start, _)| *start)?.1.next()?;
            let range = range.start.max(end)..range.end;
            end = end.max(range.end);
            if !range.is_empty() {
                return Some(Segment { range, what });
            }
        }
    })
}

impl Held {
    fn of(span: &Span) -> Held {
        let (allocated, elems) = (u64::from(span.allocated), u64::from(span.elems));
        let bytes = |count: u64| count.saturating_mul(span.elem_bytes).min(span.bytes());
        let units = |bytes: u64| u32::try_from(bytes / SLOT_BYTES).unwrap_or(u32::MAX);
        let slots = bytes(elems);
        let (kind, free, tail) = match span.state {
            SpanState::InUse if span.is_unswept() => (Kind::Unswept, slots - bytes(allocated), span.bytes() - slots),
            SpanState::InUse => (Kind::Objects, slots - bytes(allocated), span.bytes() - slots),
            // A span of its own for a large stack counts nothing (Go stack.go, stackalloc).
            SpanState::Stacks if allocated == 0 => (Kind::Stacks, 0, 0),
            SpanState::Stacks => (Kind::Stacks, span.bytes() - bytes(allocated), 0),
            SpanState::Work => (Kind::Work, 0, 0),
        };
        Held { start: span.start, pages: span.pages, free: units(free), tail: units(tail), kind }
    }

    /// Takes in its neighbour, if they are alike.
    fn join(&mut self, next: &Held) -> bool {
        let sums = [(self.pages, next.pages), (self.free, next.free), (self.tail, next.tail)];
        let [Some(pages), Some(free), Some(tail)] = sums.map(|(a, b)| a.checked_add(b)) else { return false };
        let is_alike = self.kind == next.kind && self.segment().range.end == next.start;
        if is_alike {
            *self = Held { pages, free, tail, ..*self };
        }
        is_alike
    }

    fn segment(&self) -> Segment {
        let bytes = u64::from(self.pages) * GO_PAGE_BYTES;
        let slots = bytes.saturating_sub(u64::from(self.tail) * SLOT_BYTES);
        let used = slots.saturating_sub(u64::from(self.free) * SLOT_BYTES);
        let what = match self.kind {
            Kind::Objects => What::Objects { allocated: used, slots, unswept: false },
            Kind::Unswept => What::Objects { allocated: used, slots, unswept: true },
            Kind::Stacks => What::Stacks { used },
            Kind::Work => What::Metadata(Metadata::GcWork),
        };
        Segment { range: self.start..self.start.saturating_add(bytes), what }
    }
}

fn pages(list: &[Range<u64>], what: What) -> Segments<'_> {
    Box::new(list.iter().map(move |range| Segment { range: range.clone(), what }))
}

fn kind(known: &MetadataRange) -> Metadata {
    match known.kind {
        MetadataKind::Persistent => Metadata::Persistent,
        MetadataKind::GcBits => Metadata::GcBits,
        MetadataKind::PageAllocator => Metadata::PageAllocator,
        MetadataKind::Arenas => Metadata::Arenas,
        MetadataKind::SpanTable => Metadata::SpanTable,
        MetadataKind::Profiling => Metadata::Profiling,
        MetadataKind::ThreadStack => Metadata::ThreadStack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const BASE: u64 = 1 << 40;

    fn objects(first: u64, pages: u32, free: u32) -> Held {
        Held { start: BASE + first * GO_PAGE_BYTES, pages, free, tail: 1, kind: Kind::Objects }
    }

    #[test]
    fn a_full_list_joins_neighbours_of_a_kind() {
        let mut spans = Vec::new();
        for span in [objects(4, 1, 3), objects(0, 1, 5), objects(1, 2, 0)] {
            assert!(keep(&mut spans, span, 4));
        }
        let unswept = Held { kind: Kind::Unswept, ..objects(3, 1, 0) };
        assert!(keep(&mut spans, unswept, 4));
        let joined = Held { tail: 2, ..objects(0, 3, 5) };
        assert_eq!(spans, [joined, unswept, objects(4, 1, 3)]);
        assert!(!keep(&mut spans, objects(9, 1, 0), 4), "nothing is alike");
    }

    #[test]
    fn what_two_lists_claim_is_the_earlier_starts() {
        let of = |list: &[(u64, u64)], what| -> Segments<'_> {
            let segments: Vec<_> = list.iter().map(|(start, end)| Segment { range: *start..*end, what }).collect();
            Box::new(segments.into_iter())
        };
        let stacks = What::Stacks { used: 1 };
        let lists = vec![
            of(&[(0, 4), (10, 20)], stacks),
            of(&[(4, 8), (12, 14)], What::Idle),
            of(&[(16, 24)], What::Released),
            of(&[(0, 2)], What::Idle),
        ];
        let found: Vec<_> = disjoint(lists).map(|s| (s.range, s.what)).collect();
        assert_eq!(found, [(0..4, stacks), (4..8, What::Idle), (10..20, stacks), (20..24, What::Released)]);
    }
}
