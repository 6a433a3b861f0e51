//! One look at the statistics of a live runtime: exact for a process at rest, otherwise with a known skew.
use super::mcache::{Held, PS_MAX};
use super::memory::{Piece, ReadMemory};
use super::memstats::{Counters, MemStats, Moving, Unflushed};
use super::recall::Recall;
use super::runtime::{Runtime, RuntimeError};
use super::spans::GO_PAGE_BYTES;
use super::statics::{Slot, Statics, pointers};

/// A torn set of counters is read again at once, so many times at most; the best is kept.
const RETRIES: u32 = 3;
/// Skew beyond this part of HeapSys is an error.
const SKEW_PERMILLE: u64 = 10;
/// `memoryLimitHeapGoal` leaves 3 % since Go 1.21, and 1 MiB before.
const HEADROOM_PERCENT: u64 = 3;
const NO_LIMIT: u64 = i64::MAX as u64;
const NO_GOAL: u64 = u64::MAX;

/// Statistics of one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// As `runtime.ReadMemStats` would report, without stopping the world for it.
    pub memstats: MemStats,
    /// HeapAlloc as `runtime/metrics` and so Prometheus' client_golang see it: without what the spans cached by Ps hold.
    pub heap_alloc_uncorrected: u64,
    /// Mallocs and Frees as they see them.
    pub mallocs_uncorrected: u64,
    pub frees_uncorrected: u64,
    /// Live heap after the last collection (`gcController.heapMarked`).
    pub heap_marked: u64,
    /// The pacer's estimate of the live heap, too high by design.
    pub heap_live: u64,
    /// Memory the runtime holds ready, which GOMEMLIMIT limits.
    pub mapped_ready: u64,
    /// `None`: the variable was not found in this binary.
    pub gc_phase: Option<GcPhase>,
    /// `None`: off.
    pub gogc_percent: Option<u32>,
    /// `None`: no limit.
    pub gomemlimit_bytes: Option<u64>,
    pub scavenger: Scavenger,
    /// As `runtime.NumGoroutine`.
    pub num_goroutine: u64,
    /// False: the finished goroutines that Ps keep, up to 64 each, could not be left out of it.
    pub is_num_goroutine_exact: bool,
    /// False: without the objects in the spans that Ps hold, so that nothing is corrected.
    pub is_flushed: bool,
    /// Threads (Ms) that the runtime has.
    pub threads: u64,
    /// GOMAXPROCS.
    pub procs: u64,
    /// Memory that the kernel is mapping or taking back at this moment, when it is more than 1 % of HeapSys:
    /// `mapped_ready` is without it, HeapReleased with what is being mapped.
    pub moving_bytes: u64,
    /// The largest disagreement between counters that are equal at rest, bytes; without what is moving.
    pub skew_bytes: u64,
    pub retries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcPhase {
    Off,
    Mark,
    MarkTermination,
}

impl GcPhase {
    pub fn as_str(self) -> &'static str {
        match self {
            GcPhase::Off => "off",
            GcPhase::Mark => "mark",
            GcPhase::MarkTermination => "mark termination",
        }
    }
}

/// The background scavenger's aims and work (Go mgcscavenge.go). `None`: not found, or not in this release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scavenger {
    /// Retained heap it aims at because of GOGC, and because of GOMEMLIMIT.
    pub gc_percent_goal_bytes: Option<u64>,
    pub memory_limit_goal_bytes: Option<u64>,
    pub assist_time_ns: Option<u64>,
    pub background_time_ns: Option<u64>,
    /// Released since the last collection.
    pub released_background_bytes: Option<u64>,
    pub released_eager_bytes: Option<u64>,
}

/// Reads samples; keeps the list of what is read, and the last sample to check the next by.
#[derive(Debug)]
pub struct Sampler {
    pub(super) statics: Statics,
    slots: Slots,
    /// `runtime.allp` as it was when `ps` was read.
    allp: (u64, u64),
    ps: Vec<u64>,
    recall: Recall,
    last: Option<(u32, u64)>,
    reads_pauses: bool,
}

#[derive(Debug)]
struct Slots {
    memstats: Slot,
    gc: Slot,
    allgs: Slot,
    allp: Slot,
    ngsys: Slot,
    gfree: Slot,
    gfree_no_stack: Option<Slot>,
    mnext: Slot,
    nmfreed: Slot,
    span_inuse: Slot,
    cache_inuse: Slot,
    released: [Option<Slot>; 2],
    scavenge: Option<Slot>,
    gcphase: Option<Slot>,
}

impl<M: ReadMemory> Runtime<M> {
    /// One, where no more are taken.
    pub fn sample(&self) -> Result<Sample, RuntimeError> {
        self.sampler()?.sample(self)
    }

    pub fn sampler(&self) -> Result<Sampler, RuntimeError> {
        let (layout, globals) = (&*self.layout, &self.globals);
        let mut statics = Statics::default();
        let at = |base: u64, offset: u32| base.saturating_add(offset.into());
        let mut word = |base: u64, offset: u32| statics.add(at(base, offset), 8);
        let (sched, mheap) = (&layout.sched, &layout.mheap);
        let pages = at(globals.mheap, mheap.pages);
        let ngsys = word(globals.sched, sched.ngsys)?;
        let gfree = word(globals.sched, sched.gfree_stack)?;
        let gfree_no_stack = sched.gfree_no_stack.map(|offset| word(globals.sched, offset)).transpose()?;
        let (mnext, nmfreed) = (word(globals.sched, sched.mnext)?, word(globals.sched, sched.nmfreed)?);
        let span_inuse = word(at(globals.mheap, mheap.spanalloc), layout.fixalloc.inuse)?;
        let cache_inuse = word(at(globals.mheap, mheap.cachealloc), layout.fixalloc.inuse)?;
        let mut released = [None; 2];
        for (slot, offset) in
            released.iter_mut().zip([layout.page_alloc.released_background, layout.page_alloc.released_eager])
        {
            *slot = offset.map(|offset| word(pages, offset)).transpose()?;
        }
        let slots = Slots {
            memstats: statics.add(globals.memstats, Counters::bytes_read(layout))?,
            gc: statics.add(globals.gc_controller, layout.gc.bytes)?,
            allgs: statics.add(globals.allgs, 24)?,
            allp: statics.add(globals.allp, 24)?,
            scavenge: globals.scavenge.map(|at| statics.add(at, layout.scavenge.bytes)).transpose()?,
            gcphase: globals.gcphase.map(|at| statics.add(at, 4)).transpose()?,
            ngsys,
            gfree,
            gfree_no_stack,
            mnext,
            nmfreed,
            span_inuse,
            cache_inuse,
            released,
        };
        let recall = Recall::default();
        Ok(Sampler { statics, slots, allp: (0, 0), ps: Vec::new(), recall, last: None, reads_pauses: true })
    }
}

/// One reading of all counters.
struct Reading {
    counters: Counters,
    skew: u64,
    worst: &'static str,
    span_inuse: u64,
    cache_inuse: u64,
    sample: Rest,
    /// Of the same instant, where it could be told beforehand where that is.
    held: Option<Held>,
}

/// What a reading says beyond the counters.
struct Rest {
    gc_phase: Option<GcPhase>,
    scavenger: Scavenger,
    num_goroutine: u64,
    threads: u64,
}

impl Sampler {
    /// Of samples that are taken again and again the pauses would be a fifth.
    #[must_use]
    pub fn without_pauses<M>(mut self, runtime: &Runtime<M>) -> Sampler {
        let of = Counters::pauses(&runtime.layout);
        of.into_iter().for_each(|(at, bytes)| self.statics.leave_out(self.slots.memstats, at, bytes));
        self.reads_pauses = false;
        self
    }

    /// One system call, three more for the spans that Ps hold unless they hold the same as at the looks before. Read again
    /// at once while the counters disagree, up to 3 times; the reading that disagrees least counts, unless it is off by more
    /// than 1 % of HeapSys.
    pub fn sample<M: ReadMemory>(&mut self, runtime: &Runtime<M>) -> Result<Sample, RuntimeError> {
        let mut best: Option<Reading> = None;
        let mut retries = 0;
        loop {
            let reading = self.read(runtime)?;
            if best.as_ref().is_none_or(|best| reading.skew < best.skew) {
                best = Some(reading);
            }
            if best.as_ref().is_some_and(|best| best.skew == 0) || retries == RETRIES {
                break;
            }
            retries += 1;
        }
        let Some(mut best) = best else { return Err(implausible("no reading")) };
        let unflushed = match best.held.take() {
            Some(held) => held.unflushed(&runtime.layout)?,
            None => {
                let held = runtime.held(runtime.caches(&self.ps)?)?;
                let unflushed = held.unflushed(&runtime.layout)?;
                self.recall.learn(held.places);
                unflushed
            }
        };
        Ok(Sample { retries, ..self.judge(runtime, best, Some(unflushed))? })
    }

    /// The same of memory that was copied before, where what Ps point to may be missing.
    pub(super) fn sample_copied<M: ReadMemory>(&mut self, runtime: &Runtime<M>) -> Result<Sample, RuntimeError> {
        self.statics.read(&runtime.memory, &mut [])?;
        self.allp = self.allp()?;
        let ps = pointers(&runtime.memory, self.allp, PS_MAX);
        let gfree = ps.and_then(|ps| runtime.of_each(&ps, runtime.layout.p.gfree_count, 4));
        let reading = self.parse(runtime, gfree.as_deref().unwrap_or_default())?;
        Ok(Sample { is_num_goroutine_exact: gfree.is_ok(), ..self.judge(runtime, reading, None)? })
    }

    /// A reading as a sample, if it can be one.
    fn judge<M>(
        &mut self,
        runtime: &Runtime<M>,
        mut best: Reading,
        unflushed: Option<Unflushed>,
    ) -> Result<Sample, RuntimeError> {
        let is_flushed = unflushed.is_some();
        let unflushed = unflushed.unwrap_or_default();
        let headroom = if runtime.version.minor >= 21 { HEADROOM_PERCENT } else { 0 };
        let gc = best.counters.gc;
        let pauses = best.counters.pauses.take();
        let memstats = best.counters.memstats(&unflushed, best.span_inuse, best.cache_inuse, headroom);
        let memstats = MemStats { pauses, ..memstats };
        let bare = best.counters.memstats(&Unflushed::default(), best.span_inuse, best.cache_inuse, headroom);
        let mut moving = Moving::default();
        if best.skew > permitted_skew(bare.heap_sys) {
            // It lasts for as long as the call does, so that no other reading helps.
            moving = best.counters.moving(self.allp.1);
            (best.worst, best.skew) = worst(best.counters.gaps(moving));
        }
        self.check(&best, &bare)?;
        let Rest { gc_phase, scavenger, num_goroutine, threads } = best.sample;
        Ok(Sample {
            heap_alloc_uncorrected: bare.heap_alloc,
            mallocs_uncorrected: bare.mallocs,
            frees_uncorrected: bare.frees,
            memstats,
            heap_marked: gc.heap_marked,
            heap_live: gc.heap_live,
            mapped_ready: gc.mapped_ready,
            gc_phase,
            gogc_percent: u32::try_from(gc.gc_percent).ok(),
            gomemlimit_bytes: Some(gc.memory_limit).filter(|limit| *limit != NO_LIMIT),
            scavenger,
            num_goroutine,
            is_num_goroutine_exact: true,
            is_flushed,
            threads,
            procs: self.allp.1,
            moving_bytes: moving.bytes(),
            skew_bytes: best.skew,
            retries: 0,
        })
    }

    /// What no heap can be, and what cannot follow the last sample.
    fn check(&mut self, best: &Reading, now: &MemStats) -> Result<(), RuntimeError> {
        let heap_sys = now.heap_sys;
        if best.skew > permitted_skew(heap_sys) {
            return Err(implausible(&format!("{} differ by {} bytes", best.worst, best.skew)));
        }
        if !now.heap_inuse.is_multiple_of(GO_PAGE_BYTES) || now.heap_alloc > heap_sys.saturating_add(best.skew) {
            return Err(implausible("heap in use is no whole number of Go pages, or less than its objects"));
        }
        let seen = (now.num_gc, now.total_alloc);
        if let Some((num_gc, total_alloc)) = self.last
            && (seen.0 < num_gc || seen.1.saturating_add(best.skew) < total_alloc)
        {
            return Err(implausible("collections or allocations went back"));
        }
        self.last = Some(seen);
        Ok(())
    }

    fn read<M: ReadMemory>(&mut self, runtime: &Runtime<M>) -> Result<Reading, RuntimeError> {
        let gfree_at = u64::from(runtime.layout.p.gfree_count);
        loop {
            let mut gfree = vec![0u8; 4 * self.ps.len()];
            let counts = self.ps.iter().zip(gfree.chunks_exact_mut(4));
            let mut pieces: Vec<Piece<'_>> =
                counts.map(|(p, buffer)| Piece { address: p.saturating_add(gfree_at), buffer }).collect();
            let mut asked = self.recall.ask(&runtime.layout, self.ps.len());
            if let Some(asked) = &mut asked {
                pieces.extend(self.recall.pieces(&runtime.layout, &self.ps, asked));
            }
            let read = self.statics.read(&runtime.memory, &mut pieces);
            if read.is_err() && asked.is_some() {
                self.recall.forget();
                continue;
            }
            read?;
            let allp = self.allp()?;
            if allp == self.allp {
                let held = asked.map(|asked| self.recall.held(&runtime.layout, asked)).transpose()?.flatten();
                return Ok(Reading { held, ..self.parse(runtime, &gfree)? });
            }
            // First sample, or GOMAXPROCS has changed.
            self.ps = pointers(&runtime.memory, allp, PS_MAX)?;
            self.allp = allp;
        }
    }

    /// `runtime.allp` as it was just read.
    fn allp(&self) -> Result<(u64, u64), RuntimeError> {
        let allp = self.statics.get(self.slots.allp);
        Ok((allp.u64(0)?, allp.u64(8)?))
    }

    fn parse<M>(&self, runtime: &Runtime<M>, gfree: &[u8]) -> Result<Reading, RuntimeError> {
        let (layout, slots) = (&*runtime.layout, &self.slots);
        let get = |slot: Slot| self.statics.get(slot);
        let mut counters = Counters::parse(layout, get(slots.memstats), get(slots.gc))?;
        if self.reads_pauses {
            counters = counters.with_pauses(layout, get(slots.memstats))?;
        }
        let (worst, skew) = worst(counters.gaps(Moving::default()));
        let count = |slot: Slot| get(slot).u32(0).map(u64::from);
        let idle: u64 =
            gfree.chunks_exact(4).filter_map(|n| n.first_chunk()).map(|n| u64::from(u32::from_le_bytes(*n))).sum();
        let no_stack = slots.gfree_no_stack.map_or(Ok(0), count)?;
        let not_counted = [count(slots.gfree)?, no_stack, count(slots.ngsys)?, idle];
        let all = get(slots.allgs).u64(8)?;
        let num_goroutine = not_counted.iter().fold(all, |left, part| left.saturating_sub(*part)).max(1);
        let scavenge = |offset: Option<u32>| -> Result<Option<u64>, RuntimeError> {
            let bytes = slots.scavenge.map(get);
            bytes.zip(offset).map(|(bytes, offset)| bytes.u64(offset)).transpose()
        };
        let s = &layout.scavenge;
        let goal = |value: Option<u64>| value.filter(|goal| *goal != NO_GOAL);
        let released = |index: usize| slots.released[index].map(|slot| get(slot).u64(0)).transpose();
        let gc_phase = match slots.gcphase.map(|slot| get(slot).u32(0)).transpose()? {
            Some(0) => Some(GcPhase::Off),
            Some(1) => Some(GcPhase::Mark),
            Some(2) => Some(GcPhase::MarkTermination),
            _ => None,
        };
        Ok(Reading {
            counters,
            skew,
            worst,
            span_inuse: get(slots.span_inuse).u64(0)?,
            cache_inuse: get(slots.cache_inuse).u64(0)?,
            sample: Rest {
                gc_phase,
                scavenger: Scavenger {
                    gc_percent_goal_bytes: goal(scavenge(Some(s.gc_percent_goal))?),
                    memory_limit_goal_bytes: goal(scavenge(Some(s.memory_limit_goal))?),
                    assist_time_ns: scavenge(s.assist_time)?,
                    background_time_ns: scavenge(s.background_time)?,
                    released_background_bytes: released(0)?,
                    released_eager_bytes: released(1)?,
                },
                num_goroutine,
                threads: get(slots.mnext).u64(0)?.saturating_sub(get(slots.nmfreed).u64(0)?),
            },
            held: None,
        })
    }
}

fn permitted_skew(heap_sys: u64) -> u64 {
    heap_sys / 1000 * SKEW_PERMILLE
}

/// What is off most, and by how much.
fn worst(gaps: [(&'static str, i64); 6]) -> (&'static str, u64) {
    gaps.into_iter().map(|(what, gap)| (what, gap.unsigned_abs())).max_by_key(|(_, gap)| *gap).unwrap_or(("", 0))
}

pub(super) fn implausible(what: &str) -> RuntimeError {
    RuntimeError::Implausible(what.to_owned())
}
