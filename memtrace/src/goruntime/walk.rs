//! The heap profile and the goroutines of a process that was killed: what to walk on its way out, and what that was.
use memtrace_common::records::walk::{BUCKET_HEAD_BYTES, BUCKET_REST_BYTES, WALK_BUCKETS_NS, WALK_NS, WINDOW_BYTES};
use memtrace_common::records::{GoroutineItem, WalkPlan};

use super::Located;
use super::goroutines::Goroutines;
use super::heapprofile::{Buckets, HeapProfile};
use super::layout::Layout;
use super::runtime::RuntimeError;
use super::sample::implausible;
#[cfg(any(test, fuzzing))]
use crate::event::{Extent, Stopped};
use crate::event::{WalkEnd, WalkPart};

/// What is walked of a process with this runtime, as it is killed: what does not fit the walk is left out.
pub fn plan_walk(located: &Located) -> WalkPlan {
    let (globals, layout) = (&located.globals, &located.layout);
    let (bucket, record, g) = (&layout.bucket, &layout.mem_record, &layout.g);
    let is_whole = bucket.bytes.is_multiple_of(8) && record.bytes.is_multiple_of(8);
    let fits =
        is_whole && bucket.bytes as usize <= BUCKET_HEAD_BYTES && (record.bytes as usize) < BUCKET_REST_BYTES / 2;
    let words = [g.stack.saturating_add(8), g.waitsince, g.startpc, g.gopc, g.atomicstatus, g.waitreason];
    // Whole words are read.
    let window_bytes = words.into_iter().max().unwrap_or(0).saturating_add(8).next_multiple_of(8);
    let shows = window_bytes as usize <= WINDOW_BYTES;
    WalkPlan {
        mbuckets: globals.mbuckets.filter(|_| fits).unwrap_or(0),
        mem_profile_rate: globals.mem_profile_rate.unwrap_or(0),
        collections: globals.memstats.saturating_add(layout.mstats.numgc.into()),
        allgs: if shows { globals.allgs } else { 0 },
        all_ns: WALK_NS,
        buckets_ns: WALK_BUCKETS_NS,
        bucket_bytes: bucket.bytes,
        bucket_allnext: bucket.allnext,
        bucket_nstk: bucket.nstk,
        record_bytes: record.bytes,
        window_bytes,
        stack: g.stack,
        atomicstatus: g.atomicstatus,
        waitreason: g.waitreason,
        waitsince: g.waitsince,
        startpc: g.startpc,
        gopc: g.gopc,
        ..WalkPlan::default()
    }
}

/// What the kernel sent of one walk.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    buckets: Vec<u8>,
    goroutines: Vec<GoroutineItem>,
    end: Option<WalkEnd>,
}

impl Walked {
    /// For tests and the fuzzer: whatever there is in them.
    #[cfg(any(test, fuzzing))]
    pub(super) fn of_buckets(buckets: Vec<u8>) -> Walked {
        let extent = Extent { walked: 1, of: None, one_in: 1, unreadable: 0, stopped: Stopped::Time };
        let end = WalkEnd {
            took_ns: 0,
            rate_bytes: Some(1),
            collections: Some(0),
            buckets: extent,
            goroutines: Extent { walked: 0, ..extent },
        };
        Walked { buckets, goroutines: Vec::new(), end: Some(end) }
    }

    pub fn add(&mut self, part: &WalkPart) {
        match part {
            WalkPart::Buckets(bytes) => self.buckets.extend(bytes),
            WalkPart::Goroutines(items) => self.goroutines.extend(items),
            WalkPart::End(end) => self.end = Some(*end),
        }
    }

    /// `None`: it goes on.
    pub fn end(&self) -> Option<&WalkEnd> {
        self.end.as_ref()
    }

    /// Of the buckets that were walked. `Err`: not all of them have come, or they are none.
    pub fn heap(&self, layout: &Layout) -> Result<HeapProfile, RuntimeError> {
        let unread = || implausible("nothing of the heap profile was read");
        let end = self.end.ok_or_else(unread)?;
        let (rate_bytes, collections) = end.rate_bytes.zip(end.collections).ok_or_else(unread)?;
        let cut = || implausible("half a bucket of the heap profile");
        let mut buckets = Buckets::of(layout);
        let mut bytes = &self.buckets[..];
        while !bytes.is_empty() {
            let (head, behind) = bytes.split_at_checked(layout.bucket.bytes as usize).ok_or_else(cut)?;
            let head = buckets.head(head)?;
            let (rest, behind) = behind.split_at_checked(buckets.rest_bytes(&head)).ok_or_else(cut)?;
            buckets.add(&head, rest)?;
            bytes = behind;
        }
        if buckets.walked() as u64 != end.buckets.walked {
            return Err(implausible("buckets of the heap profile were lost"));
        }
        buckets.profile(rate_bytes, collections)
    }

    /// The same of goroutines.
    pub fn goroutines(&self) -> Result<Goroutines, RuntimeError> {
        let extent = self.end.map(|end| end.goroutines).filter(|of| of.walked == self.goroutines.len() as u64);
        let extent = extent.ok_or_else(|| implausible("goroutines were lost"))?;
        Ok(Goroutines::of(&self.goroutines, extent.one_in))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::corpus;
    use crate::goruntime::Runtime;
    use crate::goruntime::fuzz::attached;

    fn bucket(layout: &Layout, frames: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; layout.bucket.bytes as usize];
        for (at, value) in [(layout.bucket.typ, 1), (layout.bucket.size, 32), (layout.bucket.nstk, frames.len() as u64)]
        {
            bytes[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
        }
        bytes.extend(frames.iter().flat_map(|frame| frame.to_le_bytes()));
        let (active, cycle) = (bytes.len() + layout.mem_record.active as usize, layout.mem_record_cycle);
        bytes.resize(bytes.len() + layout.mem_record.bytes as usize, 0);
        for (at, value) in [(Some(cycle.allocs), 3_u64), (cycle.alloc_bytes, 96)] {
            if let Some(at) = at.map(|at| active + at as usize) {
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn buckets_are_whole_and_as_many_as_were_walked() {
        let found = attached(&corpus("goroutines/go1.26.6"), |runtime| {
            let layout = &runtime.layout;
            let one = bucket(layout, &[7, 8]);
            let profile = Walked::of_buckets(one.clone()).heap(layout).unwrap();
            let counts: Vec<_> = profile.records.iter().map(|record| (&record.stack[..], record.allocs)).collect();
            assert_eq!(counts, [(&[7, 8][..], 3)]);
            for length in 0..one.len() {
                assert!(Walked::of_buckets(one[..length].to_vec()).heap(layout).is_err(), "{length}");
            }
            let two = [&one[..], &bucket(layout, &[9])].concat();
            let lost = Walked::of_buckets(two).heap(layout).unwrap_err().to_string();
            assert!(lost.contains("lost"), "{lost}");
            assert!(Walked::default().heap(layout).is_err() && Walked::default().goroutines().is_err());
        });
        assert!(found.is_some());
    }

    #[test]
    fn what_is_walked_fits_the_walk_in_every_release() {
        for release in ["go1.19.8", "go1.23.9", "go1.26.6"] {
            let found = attached(&corpus(&format!("goroutines/{release}")), |runtime| {
                let Runtime { version, layout, globals, read_by, wait_reasons, .. } = runtime;
                let (version, layout, wait_reasons) = (version.clone(), layout.clone(), wait_reasons.clone());
                let located = Located { version, layout, globals: *globals, read_by: *read_by, wait_reasons };
                let plan = plan_walk(&located);
                assert!(plan.mbuckets != 0 && plan.allgs != 0 && plan.window_bytes > plan.gopc, "{release}: {plan:?}");
            });
            assert!(found.is_some(), "{release}");
        }
    }
}
