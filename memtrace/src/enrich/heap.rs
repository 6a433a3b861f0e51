//! The Go heap of one instant, as ranges for the waterfall.
use std::ops::Range;

use crate::aggregate::waterfall::{Metadata, Segment, What};
use crate::goruntime::metadata::{MetadataKind, MetadataRange};
use crate::goruntime::pages::FreePages;
use crate::goruntime::spans::{Span, SpanState, Spans};
use crate::goruntime::{Runtime, RuntimeError, Sample};

/// What is known of a Go heap.
pub(super) struct Heap {
    pub(super) sample: Sample,
    /// Sorted and disjoint.
    pub(super) segments: Vec<Segment>,
}

impl Heap {
    pub(super) fn read(runtime: &Runtime) -> Result<Heap, RuntimeError> {
        let sample = runtime.sampler()?.sample(runtime)?;
        let metadata = runtime.metadata()?;
        let spans = runtime.spans()?;
        let free = runtime.free_pages()?;
        Ok(Heap { sample, segments: segments(&spans, &free, &metadata) })
    }
}

/// A running target moves spans and pages between the readings: where two claim the same memory the earlier start wins,
/// and what of the other is behind its end.
fn segments(spans: &Spans, free: &FreePages, metadata: &[MetadataRange]) -> Vec<Segment> {
    let spans = spans.spans.iter().map(|span| Segment { range: span.start..span.start + span.bytes(), what: of(span) });
    let pages = |list: &[Range<u64>], what: What| -> Vec<Segment> {
        list.iter().map(|range| Segment { range: range.clone(), what }).collect()
    };
    let metadata =
        metadata.iter().map(|known| Segment { range: known.range.clone(), what: What::Metadata(kind(known)) });
    let mut all: Vec<Segment> = spans.collect();
    all.extend(pages(&free.idle, What::Idle));
    all.extend(pages(&free.released, What::Released));
    // A huge page may reach into it.
    all.extend(pages(&free.padding, What::Released));
    all.extend(metadata);
    disjoint(all)
}

/// By start; what an earlier one covers is cut off.
pub(super) fn disjoint(mut all: Vec<Segment>) -> Vec<Segment> {
    all.sort_by_key(|segment| segment.range.start);
    let mut end = 0;
    all.retain_mut(|segment| {
        segment.range.start = segment.range.start.max(end);
        end = end.max(segment.range.end);
        segment.range.start < segment.range.end
    });
    all
}

fn of(span: &Span) -> What {
    let (allocated, elems) = (u64::from(span.allocated), u64::from(span.elems));
    let bytes = |count: u64| count.saturating_mul(span.elem_bytes);
    match span.state {
        SpanState::InUse => {
            What::Objects { allocated: bytes(allocated), slots: bytes(elems), unswept: span.is_unswept() }
        }
        // A span of its own for a large stack counts nothing (Go stack.go, stackalloc).
        SpanState::Stacks if allocated == 0 => What::Stacks { used: span.bytes() },
        SpanState::Stacks => What::Stacks { used: bytes(allocated) },
        SpanState::Work => What::Metadata(Metadata::GcWork),
    }
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
