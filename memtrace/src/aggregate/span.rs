//! A quantity over a window: where it started, its highest point, where it ended.
use crate::event::GoCounters;
use crate::snapshot::{HeapSnapshot, SpanSnapshot};

/// Ordered by time, not by arrival: the rings are drained one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: Option<(u64, u64)>,
    peak: Option<u64>,
    end: Option<(u64, u64)>,
}

impl Span {
    pub(super) fn observe(&mut self, t_ns: u64, bytes: u64) {
        if self.start.is_none_or(|(t, _)| t_ns < t) {
            self.start = Some((t_ns, bytes));
        }
        if self.end.is_none_or(|(t, _)| t_ns >= t) {
            self.end = Some((t_ns, bytes));
        }
        self.raise(bytes);
    }

    /// A peak that was reached at an unknown time.
    pub(super) fn raise(&mut self, bytes: u64) {
        self.peak = self.peak.max(Some(bytes));
    }

    /// The span of the next interval: it starts where this one ended.
    pub(super) fn next(&self) -> Self {
        Self { start: self.end, peak: self.end.map(|(_, bytes)| bytes), end: self.end }
    }

    pub(super) fn end(&self) -> Option<u64> {
        self.end.map(|(_, bytes)| bytes)
    }

    pub(super) fn snapshot(&self) -> SpanSnapshot {
        SpanSnapshot { start_bytes: self.start.map(|(_, b)| b), peak_bytes: self.peak, end_bytes: self.end() }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeapSpans {
    inuse: Span,
    idle: Span,
    released: Span,
}

impl HeapSpans {
    pub(super) fn observe(&mut self, t_ns: u64, inuse_bytes: u64, idle_bytes: u64, released_bytes: u64) {
        self.inuse.observe(t_ns, inuse_bytes);
        self.idle.observe(t_ns, idle_bytes);
        self.released.observe(t_ns, released_bytes);
    }

    /// Go's HeapIdle is what is free plus what is released.
    pub(super) fn observe_counters(&mut self, t_ns: u64, go: &GoCounters) {
        let idle_bytes = go.heap_free_bytes.saturating_add(go.heap_released_bytes);
        self.observe(t_ns, go.heap_inuse_bytes, idle_bytes, go.heap_released_bytes);
    }

    /// Another program runs since `t_ns`: what was seen before it is not its heap.
    pub(super) fn end_before(&mut self, t_ns: u64) {
        if self.inuse.end.is_some_and(|(seen_ns, _)| seen_ns <= t_ns) {
            *self = Self::default();
        }
    }

    pub(super) fn next(&self) -> Self {
        Self { inuse: self.inuse.next(), idle: self.idle.next(), released: self.released.next() }
    }

    pub(super) fn snapshot(&self) -> Option<HeapSnapshot> {
        self.inuse.end().map(|_| HeapSnapshot {
            inuse: self.inuse.snapshot(),
            idle: self.idle.snapshot(),
            released: self.released.snapshot(),
        })
    }
}
