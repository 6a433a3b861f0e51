//! The join of page tables, mappings and the runtime's ranges, by ascending address.
use super::bucket::{Books, Slot};
use super::kind::{Kind, Kinds};
use super::{Anonymous, Context, Metadata, Process, Segment, Waterfall, What, advice};
use crate::procfs::pagemap::{PageState, Run};
use crate::procfs::vmas::{Smaps, Vma};
use std::iter::Peekable;
use std::ops::Range;

/// How many mappings of `other_anonymous` are named.
const NAMED: usize = 8;

pub struct Tally<'a, I: Iterator<Item = Segment>> {
    smaps: &'a Smaps,
    kinds: Kinds<'a>,
    /// From the one at or behind the last address seen on.
    segments: Peekable<I>,
    page_bytes: u64,
    books: Books,
    anonymous: Vec<Anonymous>,
    swapped_bytes: u64,
    /// Of the segment at hand.
    resident: u64,
    /// Of the mapping at hand.
    released: Released,
    has_heap: bool,
    thp_is_off: bool,
    /// Objects, and those in unswept spans, resident; and objects resident or not.
    objects: u64,
    unswept: u64,
    allocated: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Released {
    huge: u64,
    small: u64,
    /// The kernel does not tell huge pages apart.
    untold: u64,
}

impl<'a, I: Iterator<Item = Segment>> Tally<'a, I> {
    /// `segments`: sorted and disjoint; those that are not are passed over where they overlap.
    pub fn new(smaps: &'a Smaps, process: &'a Process, segments: I, context: &Context, page: u64) -> Self {
        Tally {
            smaps,
            kinds: Kinds::new(&smaps.vmas, process),
            segments: segments.peekable(),
            page_bytes: page.max(1),
            books: Books::default(),
            anonymous: Vec::new(),
            swapped_bytes: 0,
            resident: 0,
            released: Released::default(),
            has_heap: false,
            thp_is_off: context.thp.as_ref().is_none_or(|thp| thp.enabled == "never"),
            objects: 0,
            unswept: 0,
            allocated: 0,
        }
    }

    /// Whether the pages of this mapping are wanted: the runtime has ranges in it, and something is resident.
    fn wants_pages(&mut self, vma: &Vma) -> bool {
        self.close_segments(vma.range.start);
        let touches = self.segments.peek().is_some_and(|s| s.range.start < vma.range.end);
        touches && vma.file.is_none() && !vma.shared && vma.sizes.rss > 0
    }

    /// Books everything; `scan` gives the runs of a range by ascending address.
    pub fn run<E>(
        mut self,
        context: &Context,
        mut scan: impl FnMut(&Range<u64>, &mut dyn FnMut(Run)) -> Result<(), E>,
    ) -> Result<Waterfall, E> {
        let smaps = self.smaps;
        for (index, vma) in smaps.vmas.iter().enumerate().filter(|(_, vma)| !vma.hugetlb) {
            let kind = self.kinds.of(index);
            self.swapped_bytes = self.swapped_bytes.saturating_add(vma.sizes.swap);
            if self.wants_pages(vma) {
                (self.released, self.has_heap) = (Released::default(), false);
                let mut uncovered = 0;
                let range = vma.range.clone();
                scan(&range, &mut |run| uncovered += self.pages(run))?;
                self.close_segments(range.end);
                self.book_released(vma);
                self.book_uncovered(kind, vma, uncovered);
            } else {
                self.book_mapping(kind, vma);
            }
        }
        self.close_segments(u64::MAX);
        self.books.add(Slot::Unknown, self.smaps.beyond.rss);
        Ok(self.finish(context))
    }

    /// Books what lies in segments; returns the bytes of whole pages that no segment covers.
    fn pages(&mut self, run: Run) -> u64 {
        let PageState::Resident { huge } = run.state else { return 0 };
        let (mut at, mut uncovered) = (run.range.start, 0);
        while at < run.range.end {
            self.close_segments(at);
            let next = self.segments.peek();
            match next.filter(|s| s.range.start <= at) {
                Some(segment) => {
                    let end = segment.range.end.min(run.range.end);
                    self.resident += end - at;
                    if segment.what == What::Released {
                        *self.released.of(huge) += end - at;
                    }
                    at = end;
                }
                None => {
                    let end = next.map_or(run.range.end, |s| s.range.start.min(run.range.end));
                    let rounding = self.rounding(at, end);
                    self.books.add(Slot::PageRounding, rounding);
                    uncovered += end - at - rounding;
                    at = end;
                }
            }
        }
        uncovered
    }

    /// Of a gap between segments the parts in pages that a segment shares.
    fn rounding(&self, start: u64, end: u64) -> u64 {
        let (first_whole, last_whole) = (start.next_multiple_of(self.page_bytes), end - end % self.page_bytes);
        if first_whole > last_whole { end - start } else { (first_whole - start) + (end - last_whole) }
    }

    /// Books segments that end at or before `address`.
    fn close_segments(&mut self, address: u64) {
        while let Some(segment) = self.segments.next_if(|s| s.range.end <= address) {
            let resident = std::mem::take(&mut self.resident);
            self.has_heap |= is_heap(&segment);
            self.book_segment(segment.what, resident);
        }
    }

    fn book_segment(&mut self, what: What, resident: u64) {
        match what {
            What::Objects { allocated, slots, unswept } => {
                let objects = allocated.min(resident);
                let free = slots.saturating_sub(allocated).min(resident - objects);
                self.objects += objects;
                self.allocated = self.allocated.saturating_add(allocated);
                self.unswept += if unswept { objects } else { 0 };
                self.books.add(Slot::Live, objects);
                self.books.add(Slot::FreeSlots, free);
                self.books.add(Slot::Rounding, resident - objects - free);
            }
            What::Stacks { used } => {
                let used = used.min(resident);
                self.books.add(Slot::StacksUsed, used);
                self.books.add(Slot::StacksFree, resident - used);
            }
            What::Idle => self.books.add(Slot::Idle, resident),
            What::Metadata(kind) => self.books.add(metadata(kind), resident),
            What::Malloc => self.books.add(Slot::Malloc, resident),
            // Booked with its mapping, where the causes are known.
            What::Released => {}
        }
    }

    /// MADV_FREE pages are only ever released ones; khugepaged's are never MADV_FREE.
    fn book_released(&mut self, vma: &Vma) {
        let Released { mut huge, mut small, untold } = self.released;
        let told_huge = untold.min(vma.sizes.anon_huge);
        huge += told_huge;
        small += untold - told_huge;
        let lazy = vma.sizes.lazy_free.min(huge + small);
        let lazy_small = lazy.min(small);
        self.books.add(Slot::ReleasedLazy, lazy);
        self.books.add(Slot::ReleasedThp, huge - (lazy - lazy_small));
        let cause = if self.thp_is_off { Slot::ReleasedRefaulted } else { Slot::ReleasedUnknown };
        self.books.add(cause, small - lazy_small);
    }

    /// Pages of a mapping with Go ranges that are in none of them: of the heap's own arenas nothing else is known.
    fn book_uncovered(&mut self, kind: Kind, vma: &Vma, bytes: u64) {
        match kind {
            Kind::Anonymous | Kind::GoNamed if self.has_heap(vma) => self.books.add(Slot::Unknown, bytes),
            kind => self.book_anonymous(kind, vma, bytes),
        }
    }

    /// Whether there is more than metadata in the mapping, all of which has been seen.
    fn has_heap(&mut self, vma: &Vma) -> bool {
        let straddles = |s: &Segment| s.range.start < vma.range.end && is_heap(s);
        self.has_heap || self.segments.peek().is_some_and(straddles)
    }

    fn book_mapping(&mut self, kind: Kind, vma: &Vma) {
        let copies = vma.sizes.anonymous.min(vma.sizes.rss);
        let (file, copied) = match kind {
            Kind::BinaryText => (Slot::Text, Slot::DataDirty),
            Kind::BinaryRodata => (Slot::Rodata, Slot::DataDirty),
            Kind::BinaryData => (Slot::DataClean, Slot::DataDirty),
            Kind::File => (Slot::Files, Slot::FilesDirty),
            Kind::Shared => (Slot::Shared, Slot::Anonymous),
            kind => return self.book_anonymous(kind, vma, vma.sizes.rss),
        };
        self.books.add(file, vma.sizes.rss - copies);
        self.books.add(copied, copies);
    }

    fn book_anonymous(&mut self, kind: Kind, vma: &Vma, bytes: u64) {
        let slot = match kind {
            Kind::BinaryBss => Slot::Bss,
            Kind::Malloc => Slot::Malloc,
            Kind::ThreadStack => Slot::ThreadStacks,
            Kind::GoNamed => Slot::GoNamed,
            Kind::Kernel => Slot::KernelPages,
            _ => Slot::Anonymous,
        };
        if slot == Slot::Anonymous && bytes > 0 {
            let (range, name) = (vma.range.clone(), vma.name.clone());
            self.anonymous.push(Anonymous { range, name, bytes, creator: None });
        }
        self.books.add(slot, bytes);
    }

    /// Divides the objects: what the last GC marked is live, as far as it is resident; of the rest what is in unswept
    /// spans was found dead there.
    fn divide_objects(&mut self, marked: u64) {
        let live = if self.allocated == 0 {
            0
        } else {
            let resident = u128::from(marked) * u128::from(self.objects) / u128::from(self.allocated);
            u64::try_from(resident).unwrap_or(u64::MAX).min(self.objects)
        };
        let dead = self.books.take(Slot::Live, self.objects - live);
        let unswept = dead.min(self.unswept);
        self.books.add(Slot::Unswept, unswept);
        self.books.add(Slot::Garbage, dead - unswept);
    }

    fn finish(mut self, context: &Context) -> Waterfall {
        if let Some(marked) = context.marked_bytes {
            self.divide_objects(marked);
        }
        let cached = self.books.take(Slot::StacksUsed, context.cached_stack_bytes);
        self.books.add(Slot::StacksFree, cached);
        let rss_bytes = self.books.sum();
        let unknown_bytes = self.books.get(Slot::Unknown);
        let mut buckets = self.books.list();
        buckets.retain(|b| b.bytes > 0 && b.name != "unknown");
        for bucket in &mut buckets {
            bucket.advice = advice::of(bucket.name, bucket.bytes, rss_bytes, context);
        }
        self.anonymous.sort_by_key(|a| std::cmp::Reverse(a.bytes));
        self.anonymous.truncate(NAMED);
        Waterfall {
            rss_bytes,
            buckets,
            unknown_bytes,
            swapped_bytes: self.swapped_bytes.saturating_add(self.smaps.beyond.swap),
            anonymous: self.anonymous,
        }
    }
}

fn is_heap(segment: &Segment) -> bool {
    !matches!(segment.what, What::Metadata(_) | What::Malloc)
}

fn metadata(kind: Metadata) -> Slot {
    match kind {
        Metadata::Persistent => Slot::Persistent,
        Metadata::SpanTable => Slot::SpanTable,
        Metadata::GcWork => Slot::GcWork,
        Metadata::GcBits => Slot::GcBits,
        Metadata::PageAllocator => Slot::PageAllocator,
        Metadata::Arenas => Slot::Arenas,
        Metadata::Profiling => Slot::Profiling,
        Metadata::ThreadStack => Slot::ThreadStacks,
    }
}

impl Released {
    fn of(&mut self, huge: Option<bool>) -> &mut u64 {
        match huge {
            Some(true) => &mut self.huge,
            Some(false) => &mut self.small,
            None => &mut self.untold,
        }
    }
}
