//! The spans of the heap (Go mheap.go, `mspan`): which memory holds objects, stacks or work buffers.
use super::bytes::Bytes;
use super::memory::{Piece, ReadMemory};
use super::memstats::CLASSES;
use super::runtime::{Runtime, RuntimeError};
use super::sample::implausible;
use super::statics::words;

/// `_PageSize` of the Go runtime (sizeclasses.go): spans are whole numbers of it.
pub const GO_PAGE_BYTES: u64 = 8 << 10;
/// Spans a list may hold, 32 bytes each. A walk has no such limit.
pub const SPANS_MAX: usize = 3 << 19;
/// 128 GiB of the smallest spans, and a walk of two seconds.
const WALK_MAX: u64 = 1 << 24;
/// Spans read at a time.
const BATCH: u64 = 1 << 14;
/// Across gaps of 4 KiB there may be unmapped memory: metadata is allocated in chunks with holes behind them. Less bounds
/// what is read in vain.
const GAP_BYTES: u64 = 512;
/// mspan.state (Go mheap.go, mSpanState).
const IN_USE: u8 = 1;
const MANUAL: u8 = 2;

/// A span in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    /// Bytes of a slot; of a large object's span the whole object.
    pub elem_bytes: u64,
    /// Go pages, 8 KiB each.
    pub pages: u32,
    /// Slots, at most 8192 / 8.
    pub elems: u16,
    /// Slots taken, as of the last sweep.
    pub allocated: u16,
    /// Size class; 0: large.
    pub class: u8,
    /// Holds no pointers.
    pub no_scan: bool,
    pub state: SpanState,
    pub sweep: Sweep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanState {
    /// Objects.
    InUse,
    /// Goroutine stacks.
    Stacks,
    /// Work buffers of the collector and the like.
    Work,
}

/// Against the heap's sweep generation (Go mheap.go, `mspan.sweepgen`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// `allocated` still counts what the last collection found dead.
    Unswept,
    /// Being swept.
    Sweeping,
    Swept,
    /// Held by a P, not swept yet.
    CachedUnswept,
    /// Held by a P: what it allocated is in no statistics yet.
    Cached,
}

impl Span {
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages) * GO_PAGE_BYTES
    }

    pub fn is_unswept(&self) -> bool {
        matches!(self.sweep, Sweep::Unswept | Sweep::Sweeping | Sweep::CachedUnswept)
    }
}

/// All spans in use at about the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    pub spans: Vec<Span>,
    /// Spans that are free to be used again.
    pub dead: u64,
    /// Torn by the running target: left out.
    pub damaged: u64,
}

/// What all spans of a size class hold. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeClass {
    pub elem_bytes: u64,
    pub spans: u64,
    pub span_bytes: u64,
    pub objects: u64,
    pub capacity: u64,
    pub object_bytes: u64,
    pub free_bytes: u64,
    /// Behind the last slot.
    pub tail_bytes: u64,
    pub unswept_spans: u64,
}

impl SizeClass {
    fn add(&mut self, span: &Span) {
        let (objects, capacity) = (u64::from(span.allocated), u64::from(span.elems));
        let slots = capacity.saturating_mul(span.elem_bytes);
        let object_bytes = objects.saturating_mul(span.elem_bytes);
        self.spans += 1;
        self.span_bytes = self.span_bytes.saturating_add(span.bytes());
        self.objects += objects;
        self.capacity += capacity;
        self.object_bytes = self.object_bytes.saturating_add(object_bytes);
        self.free_bytes = self.free_bytes.saturating_add(slots.saturating_sub(object_bytes));
        self.tail_bytes = self.tail_bytes.saturating_add(span.bytes().saturating_sub(slots));
        self.unswept_spans += u64::from(span.is_unswept());
    }

    /// Slots taken; `None`: there are none.
    pub fn occupancy(&self) -> Option<f64> {
        (self.capacity > 0).then(|| self.objects as f64 / self.capacity as f64)
    }
}

/// By size class; index 0 are the large objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(pub [SizeClass; CLASSES]);

impl Default for Classes {
    fn default() -> Classes {
        Classes([SizeClass::default(); CLASSES])
    }
}

impl Classes {
    /// Spans of objects count.
    pub fn add(&mut self, span: &Span) {
        if span.state == SpanState::InUse
            && let Some(class) = self.0.get_mut(usize::from(span.class))
        {
            class.elem_bytes = if span.class == 0 { 0 } else { span.elem_bytes };
            class.add(span);
        }
    }
}

impl Spans {
    pub fn classes(&self) -> Classes {
        let mut classes = Classes::default();
        self.spans.iter().for_each(|span| classes.add(span));
        classes
    }

    /// Bytes of all spans in that state.
    pub fn bytes(&self, state: SpanState) -> u64 {
        let of_state = self.spans.iter().filter(|span| span.state == state);
        of_state.fold(0, |sum: u64, span| sum.saturating_add(span.bytes()))
    }
}

enum Parsed {
    Span(Span),
    Dead,
    Damaged,
}

impl<M: ReadMemory> Runtime<M> {
    /// All spans, sorted by address. `Err` beyond [`SPANS_MAX`].
    pub fn spans(&self) -> Result<Spans, RuntimeError> {
        let mut spans = Vec::new();
        let mut is_full = false;
        let (dead, damaged) = self.walk_spans(|span| {
            is_full = spans.len() == SPANS_MAX;
            if !is_full {
                spans.push(span);
            }
            !is_full
        })?;
        if is_full {
            return Err(implausible(&format!("more than {SPANS_MAX} spans")));
        }
        spans.sort_unstable_by_key(|span| span.start);
        Ok(Spans { spans, dead, damaged })
    }

    /// Every span in use until `visit` returns false, in no order; how many were dead and how many damaged. Memory is
    /// bounded by the batch: 12 MiB.
    pub fn walk_spans(&self, mut visit: impl FnMut(Span) -> bool) -> Result<(u64, u64), RuntimeError> {
        let mheap = self.globals.mheap;
        let at = |offset: u32| mheap.saturating_add(offset.into());
        let (list, length) = self.slice(at(self.layout.mheap.allspans))?;
        let mut sweepgen = [0; 4];
        self.memory.read(at(self.layout.mheap.sweepgen), &mut sweepgen)?;
        let sweepgen = u32::from_le_bytes(sweepgen);
        if length > WALK_MAX {
            return Err(implausible(&format!("{length} spans")));
        }
        let (mut dead, mut damaged) = (0, 0);
        let mut from = 0;
        let mut buffer = Vec::new();
        while from < length {
            let count = BATCH.min(length - from);
            buffer.resize(8 * count as usize, 0);
            self.memory.read(list.saturating_add(8 * from), &mut buffer)?;
            from += count;
            // In the order in which they were allocated: most have the next one right behind them (Go mheap.go, recordspan).
            let addresses: Vec<u64> = words(&buffer).collect();
            let span_bytes = u64::from(self.layout.mspan.bytes);
            let stopped = self.read_near(&addresses, span_bytes, GAP_BYTES, &mut buffer, |bytes| {
                match self.parse(bytes, sweepgen)? {
                    Parsed::Dead => dead += 1,
                    Parsed::Damaged => damaged += 1,
                    Parsed::Span(span) => return Ok(visit(span)),
                }
                Ok(true)
            })?;
            if stopped {
                break;
            }
        }
        Ok((dead, damaged))
    }

    /// `bytes` of each of the structures at the addresses, in as few pieces as each has the next one behind it with less
    /// than `gap` between. Whether `visit` said to stop.
    pub(super) fn read_near(
        &self,
        addresses: &[u64],
        bytes: u64,
        gap: u64,
        buffer: &mut Vec<u8>,
        mut visit: impl FnMut(Bytes<'_>) -> Result<bool, RuntimeError>,
    ) -> Result<bool, RuntimeError> {
        let near = |a: &u64, b: &u64| b.checked_sub(*a).is_some_and(|away| away < bytes.saturating_add(gap));
        let runs: Vec<&[u64]> = addresses.chunk_by(near).collect();
        let sizes: Vec<usize> = runs.iter().map(|run| extent(run, bytes)).collect();
        buffer.resize(sizes.iter().sum(), 0);
        let mut pieces = Vec::with_capacity(runs.len());
        let mut rest = buffer.as_mut_slice();
        for (run, size) in runs.iter().zip(&sizes) {
            let (piece, after) = std::mem::take(&mut rest).split_at_mut(*size);
            pieces.push(Piece { address: run.first().copied().unwrap_or(0), buffer: piece });
            rest = after;
        }
        self.memory.read_pieces(&mut pieces)?;
        let mut rest = buffer.as_slice();
        for (run, size) in runs.iter().zip(&sizes) {
            let (read, after) = rest.split_at(*size);
            rest = after;
            for address in *run {
                let inside = address - run.first().copied().unwrap_or(0);
                if !visit(Bytes(read.get(inside as usize..).unwrap_or_default()))? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn parse(&self, bytes: Bytes<'_>, sweepgen: u32) -> Result<Parsed, RuntimeError> {
        let m = &self.layout.mspan;
        let state = bytes.u8(m.state)?;
        if state == 0 {
            return Ok(Parsed::Dead);
        }
        let (start, pages, elem_bytes) = (bytes.u64(m.start_addr)?, bytes.u64(m.npages)?, bytes.u64(m.elemsize)?);
        let elems = if m.nelems_bytes == 8 { bytes.u64(m.nelems)? } else { bytes.u16(m.nelems)?.into() };
        let class = bytes.u8(m.spanclass)?;
        let state = match (state, elem_bytes) {
            (IN_USE, _) => SpanState::InUse,
            // stackalloc and stackpoolalloc (Go stack.go) set elemsize; nothing else that is manual does.
            (MANUAL, 0) => SpanState::Work,
            (MANUAL, _) => SpanState::Stacks,
            _ => return Ok(Parsed::Damaged),
        };
        let (Ok(pages), Ok(elems)) = (u32::try_from(pages), u16::try_from(elems)) else { return Ok(Parsed::Damaged) };
        let allocated = bytes.u16(m.alloc_count)?;
        let is_sane = pages > 0
            && start.is_multiple_of(GO_PAGE_BYTES)
            && elem_bytes <= u64::from(pages) * GO_PAGE_BYTES
            && usize::from(class / 2) < CLASSES
            && (state != SpanState::InUse || allocated <= elems);
        if !is_sane {
            return Ok(Parsed::Damaged);
        }
        // Go mheap.go: the comment at mspan.sweepgen.
        let sweep = match bytes.u32(m.sweepgen)?.wrapping_sub(sweepgen).cast_signed() {
            -2 => Sweep::Unswept,
            -1 => Sweep::Sweeping,
            1 => Sweep::CachedUnswept,
            3 => Sweep::Cached,
            _ => Sweep::Swept,
        };
        let no_scan = class & 1 == 1;
        Ok(Parsed::Span(Span { start, elem_bytes, pages, elems, allocated, class: class / 2, no_scan, state, sweep }))
    }

    /// Address and length of a Go slice variable.
    pub(super) fn slice(&self, address: u64) -> Result<(u64, u64), RuntimeError> {
        let mut bytes = [0; 16];
        self.memory.read(address, &mut bytes)?;
        Ok((Bytes(&bytes).u64(0)?, Bytes(&bytes).u64(8)?))
    }
}

/// Bytes from the first structure of a run to the end of its last.
fn extent(run: &[u64], bytes: u64) -> usize {
    run.first().zip(run.last()).map_or(0, |(first, last)| (last - first + bytes) as usize)
}
