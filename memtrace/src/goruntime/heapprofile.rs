//! The heap profile that every Go program keeps (Go mprof.go): sampled allocations and frees by stack.
use std::iter;

use super::bytes::Bytes;
use super::layout::Layout;
use super::memory::{Piece, ReadMemory};
use super::runtime::{Runtime, RuntimeError};
use super::sample::implausible;
use super::statics::words;

/// Return addresses kept over all stacks (32 MiB), and stacks; the runtime's own table has no such limit.
const ADDRESSES_MAX: usize = 1 << 22;
pub const STACKS_MAX: usize = 1 << 17;
/// Buckets walked, profiles of locks and blocking among them. A longer list is a cycle or damaged.
const BUCKETS_MAX: usize = 1 << 19;
/// Frames of a stack: 32 up to Go 1.22, then 128 or GODEBUG=profstackdepth, of which this is the most.
const FRAMES_MAX: u64 = 1024;
/// `memProfile`, the first of the bucket types.
const MEMORY: u64 = 1;
/// `memRecord.future`: of three cycles, in turn.
const CYCLES: usize = 3;

/// Sampled allocations of one size from one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeapRecord {
    /// Return addresses, innermost first; one for every call, inlined ones too.
    pub stack: Vec<u64>,
    pub allocs: u64,
    pub frees: u64,
    pub alloc_bytes: u64,
    pub free_bytes: u64,
}

/// As `runtime.MemProfile(nil, true)` would report it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeapProfile {
    /// `runtime.MemProfileRate`: one sample in so many bytes allocated; 0: this program keeps no profile.
    pub rate_bytes: u64,
    pub records: Vec<HeapRecord>,
    /// Records beyond [`STACKS_MAX`] or the memory for their stacks.
    pub left_out: u64,
}

/// `memRecordCycle`.
#[derive(Clone, Copy, Debug, Default)]
struct Cycle {
    allocs: u64,
    frees: u64,
    alloc_bytes: u64,
    free_bytes: u64,
}

impl Cycle {
    fn add(&mut self, other: &Cycle) {
        self.allocs = self.allocs.wrapping_add(other.allocs);
        self.frees = self.frees.wrapping_add(other.frees);
        self.alloc_bytes = self.alloc_bytes.wrapping_add(other.alloc_bytes);
        self.free_bytes = self.free_bytes.wrapping_add(other.free_bytes);
    }
}

struct Bucket {
    stack: Vec<u64>,
    /// Of each of its objects.
    size: u64,
    active: Cycle,
    future: [Cycle; CYCLES],
}

impl<M: ReadMemory> Runtime<M> {
    /// Walks `runtime.mbuckets`: two system calls per bucket. Consistent as of the last collection, as Go's own is.
    pub fn heap_profile(&self) -> Result<HeapProfile, RuntimeError> {
        let missing = || implausible("the variables of the heap profile were not found in this program");
        let rate = self.globals.mem_profile_rate.ok_or_else(missing)?;
        let rate_bytes = self.memory.read_u64(rate)?;
        let mut next = self.memory.read_u64(self.globals.mbuckets.ok_or_else(missing)?)?;
        let collections = self.collections()?;
        let mut buckets = Buckets::of(&self.layout);
        while next != 0 {
            let mut head = vec![0u8; self.layout.bucket.bytes as usize];
            self.memory.read(next, &mut head)?;
            let head = buckets.head(&head)?;
            let mut rest = vec![0u8; buckets.rest_bytes(&head)];
            let behind = next.saturating_add(self.layout.bucket.bytes.into());
            self.memory.read_pieces(&mut [Piece { address: behind, buffer: &mut rest }])?;
            buckets.add(&head, &rest)?;
            next = head.next;
        }
        buckets.profile(rate_bytes, collections)
    }

    /// `mProfCycle` counts with `memstats.numgc` (Go mgc.go, gcMarkTermination: one mProf_NextCycle per collection).
    fn collections(&self) -> Result<u64, RuntimeError> {
        let mut count = [0; 4];
        self.memory.read(self.globals.memstats.saturating_add(self.layout.mstats.numgc.into()), &mut count)?;
        Ok(u32::from_le_bytes(count).into())
    }
}

/// What is before a bucket's stack and its counts.
pub(super) struct Head {
    next: u64,
    kind: u64,
    size: u64,
    frames: u64,
}

/// Buckets while the list of them is walked.
pub(super) struct Buckets<'a> {
    layout: &'a Layout,
    walked: usize,
    addresses: usize,
    kept: Vec<Bucket>,
    left_out: u64,
}

impl<'a> Buckets<'a> {
    pub(super) fn of(layout: &'a Layout) -> Self {
        Self { layout, walked: 0, addresses: 0, kept: Vec::new(), left_out: 0 }
    }

    pub(super) fn head(&mut self, head: &[u8]) -> Result<Head, RuntimeError> {
        self.walked += 1;
        if self.walked > BUCKETS_MAX {
            return Err(implausible("the list of profile buckets does not end"));
        }
        let (bucket, head) = (&self.layout.bucket, Bytes(head));
        let frames = head.u64(bucket.nstk)?;
        if frames > FRAMES_MAX {
            return Err(implausible(&format!("a stack of {frames} frames in the heap profile")));
        }
        Ok(Head { next: head.u64(bucket.allnext)?, kind: head.u64(bucket.typ)?, size: head.u64(bucket.size)?, frames })
    }

    pub(super) fn walked(&self) -> usize {
        self.walked
    }

    /// Its stack and its counts.
    pub(super) fn rest_bytes(&self, head: &Head) -> usize {
        8 * head.frames as usize + self.layout.mem_record.bytes as usize
    }

    /// One of another profile is not kept.
    pub(super) fn add(&mut self, head: &Head, rest: &[u8]) -> Result<(), RuntimeError> {
        if head.kind != MEMORY {
            return Ok(());
        }
        if self.kept.len() >= STACKS_MAX || self.addresses >= ADDRESSES_MAX {
            self.left_out += 1;
            return Ok(());
        }
        let split = rest.split_at_checked(8 * head.frames as usize);
        let (stack, counts) = split.ok_or_else(|| implausible("half a bucket of the heap profile"))?;
        let (counts, record) = (Bytes(counts), &self.layout.mem_record);
        let mut future = [Cycle::default(); CYCLES];
        for (index, cycle) in future.iter_mut().enumerate() {
            let at = record.future.saturating_add(self.layout.mem_record_cycle.bytes.saturating_mul(index as u32));
            *cycle = self.cycle(counts.from(at)?, head.size)?;
        }
        let active = self.cycle(counts.from(record.active)?, head.size)?;
        let stack: Vec<u64> = words(stack).collect();
        self.addresses += stack.len();
        self.kept.push(Bucket { stack, size: head.size, active, future });
        Ok(())
    }

    fn cycle(&self, bytes: Bytes<'_>, size: u64) -> Result<Cycle, RuntimeError> {
        let c = &self.layout.mem_record_cycle;
        let (allocs, frees) = (bytes.u64(c.allocs)?, bytes.u64(c.frees)?);
        let of = |field: Option<u32>, count: u64| field.map_or(Ok(count.wrapping_mul(size)), |at| bytes.u64(at));
        Ok(Cycle { allocs, frees, alloc_bytes: of(c.alloc_bytes, allocs)?, free_bytes: of(c.free_bytes, frees)? })
    }

    /// `collections` say which of the three future cycles is the one to be published next.
    pub(super) fn profile(self, rate_bytes: u64, collections: u64) -> Result<HeapProfile, RuntimeError> {
        let cycle = (collections % CYCLES as u64) as usize;
        let (buckets, left_out) = (self.kept, self.left_out);
        let has_bytes = self.layout.mem_record_cycle.alloc_bytes.is_some();
        let used = buckets.iter().filter(|bucket| bucket.cycles().any(|cycle| cycle.allocs > 0)).count();
        // Some may be torn by the running target.
        if 2 * buckets.iter().filter(|bucket| !bucket.is_consistent(has_bytes)).count() > used {
            return Err(implausible("the heap profile has records of another Go version"));
        }
        // Before the first collection nothing is published: Go then shows all there is.
        let is_first = buckets.iter().all(|bucket| {
            let published = bucket.sum(|index| index == cycle);
            published.allocs == 0 && published.frees == 0
        });
        let records = buckets.into_iter().map(|bucket| bucket.record(|index| is_first || index == cycle));
        Ok(HeapProfile { rate_bytes, records: records.collect(), left_out })
    }
}

impl Bucket {
    fn cycles(&self) -> impl Iterator<Item = &Cycle> {
        iter::once(&self.active).chain(&self.future)
    }

    /// All objects of a bucket have one size. Bytes that a record of this release does not have, but these have, would
    /// be taken for the counts of the cycle that follows.
    fn is_consistent(&self, has_bytes: bool) -> bool {
        let bytes = |cycle: &Cycle| [cycle.allocs, cycle.frees].map(|count| count.wrapping_mul(self.size));
        if has_bytes {
            return self.cycles().all(|cycle| bytes(cycle) == [cycle.alloc_bytes, cycle.free_bytes]);
        }
        let [first, second, third] = &self.future;
        let is_bytes_of = |next: &Cycle, cycle: &Cycle| {
            cycle.allocs > 0 && bytes(cycle) == [next.allocs, next.frees] && self.size > 1
        };
        !is_bytes_of(first, &self.active) && !is_bytes_of(third, second)
    }

    /// What is published, and those of the future cycles (Go mprof.go, memProfileInternal).
    fn sum(&self, with: impl Fn(usize) -> bool) -> Cycle {
        let mut sum = self.active;
        self.future.iter().enumerate().filter(|(index, _)| with(*index)).for_each(|(_, cycle)| sum.add(cycle));
        sum
    }

    fn record(self, with: impl Fn(usize) -> bool) -> HeapRecord {
        let Cycle { allocs, frees, alloc_bytes, free_bytes } = self.sum(with);
        HeapRecord { stack: self.stack, allocs, frees, alloc_bytes, free_bytes }
    }
}

impl HeapRecord {
    /// Estimates of the real numbers: allocated objects and bytes, objects and bytes in use (Go pprof/protomem.go,
    /// scaleHeapSample).
    pub fn unsampled(&self, rate_bytes: u64) -> [i64; 4] {
        let in_use = self.allocs.wrapping_sub(self.frees).cast_signed();
        let in_use_bytes = self.alloc_bytes.wrapping_sub(self.free_bytes).cast_signed();
        let allocated = scale(self.allocs.cast_signed(), self.alloc_bytes.cast_signed(), rate_bytes);
        let used = scale(in_use, in_use_bytes, rate_bytes);
        [allocated.0, allocated.1, used.0, used.1]
    }
}

/// Each sample stands for what the sampling has passed over: a Poisson process with the rate as its mean.
fn scale(count: i64, bytes: i64, rate: u64) -> (i64, i64) {
    if count == 0 || bytes == 0 {
        return (0, 0);
    }
    if rate <= 1 {
        return (count, bytes);
    }
    let average = bytes as f64 / count as f64;
    let scale = 1.0 / (1.0 - (-average / rate as f64).exp());
    ((count as f64 * scale) as i64, (bytes as f64 * scale) as i64)
}
