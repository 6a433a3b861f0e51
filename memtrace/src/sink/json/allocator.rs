//! Spans by size class, the state of the sweep, and what each P holds.
use crate::goruntime::mcache::PCache;
use crate::goruntime::mheap::Allocator;
use crate::goruntime::spans::SizeClass;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct AllocatorJson {
    size_classes: Vec<ClassJson>,
    spans: u64,
    dead_spans: u64,
    /// Torn by the running program: in no class.
    damaged_spans: u64,
    arenas: u64,
    sweepgen: u32,
    in_use_bytes: u64,
    swept_bytes: u64,
    /// Bytes to sweep for each byte allocated.
    sweep_ratio: f64,
    reclaim_credit_bytes: u64,
    p_caches: Vec<PCacheJson>,
}

#[derive(Serialize)]
struct ClassJson {
    class: usize,
    /// Null: large objects, each in a span of its own.
    elem_bytes: Option<u64>,
    spans: u64,
    span_bytes: u64,
    objects: u64,
    capacity: u64,
    /// Objects by capacity.
    occupancy_ratio: Option<f64>,
    object_bytes: u64,
    free_bytes: u64,
    tail_bytes: u64,
    unswept_spans: u64,
    /// Unswept spans by spans.
    unswept_ratio: f64,
}

#[derive(Serialize)]
struct PCacheJson {
    p: u32,
    spans: u64,
    span_bytes: u64,
    free_bytes: u64,
    unflushed_objects: u64,
    unflushed_bytes: u64,
    tiny_allocs: u64,
    stack_bytes: u64,
    page_bytes: u64,
    page_released_bytes: u64,
    is_flushed: bool,
}

impl AllocatorJson {
    pub(super) fn of(of: &Allocator) -> Self {
        let classes = of.classes.0.iter().enumerate().filter(|(_, class)| class.spans > 0);
        Self {
            size_classes: classes.map(|(index, class)| ClassJson::of(index, class)).collect(),
            spans: of.mheap.spans,
            dead_spans: of.dead_spans,
            damaged_spans: of.damaged_spans,
            arenas: of.mheap.arenas,
            sweepgen: of.mheap.sweepgen,
            in_use_bytes: of.mheap.in_use_bytes,
            swept_bytes: of.mheap.swept_bytes,
            sweep_ratio: of.mheap.sweep_ratio,
            reclaim_credit_bytes: of.mheap.reclaim_credit_bytes,
            p_caches: of.p_caches.iter().map(PCacheJson::of).collect(),
        }
    }
}

impl ClassJson {
    fn of(index: usize, class: &SizeClass) -> Self {
        Self {
            class: index,
            elem_bytes: (index > 0).then_some(class.elem_bytes),
            spans: class.spans,
            span_bytes: class.span_bytes,
            objects: class.objects,
            capacity: class.capacity,
            occupancy_ratio: class.occupancy(),
            object_bytes: class.object_bytes,
            free_bytes: class.free_bytes,
            tail_bytes: class.tail_bytes,
            unswept_spans: class.unswept_spans,
            unswept_ratio: class.unswept_spans as f64 / class.spans.max(1) as f64,
        }
    }
}

impl PCacheJson {
    fn of(cache: &PCache) -> Self {
        Self {
            p: cache.id,
            spans: cache.spans,
            span_bytes: cache.span_bytes,
            free_bytes: cache.free_bytes,
            unflushed_objects: cache.unflushed_objects,
            unflushed_bytes: cache.unflushed_bytes,
            tiny_allocs: cache.tiny_allocs,
            stack_bytes: cache.stack_bytes,
            page_bytes: cache.page_bytes,
            page_released_bytes: cache.page_released_bytes,
            is_flushed: cache.is_flushed,
        }
    }
}
