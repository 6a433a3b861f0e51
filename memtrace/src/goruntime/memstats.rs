//! `runtime.MemStats` computed outside, as Go's readmemstats_m does (mstats.go).
use super::RuntimeError;
use super::bytes::Bytes;
use super::layout::Layout;
use super::memory::SYSTEM_PAGE_BYTES;
use super::pages::CHUNK_BYTES;

/// Small size classes with class 0, which stands for large objects.
pub const CLASSES: usize = 68;
/// Entries of `MemStats.BySize`, which Go cannot change any more.
pub const BY_SIZE: usize = 61;

/// So many pauses are remembered.
const PAUSES: usize = 256;

/// Object bytes by size class: the same in every release from 1.19 to 1.27 (Go sizeclasses.go).
#[rustfmt::skip]
pub const CLASS_BYTES: [u16; CLASSES] = [
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224,
    240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152,
    1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912,
    8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
];

/// The fields of `runtime.MemStats`, with their meanings there. Sizes in bytes, times in ns; `last_gc` and `pause_end`
/// since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct MemStats {
    pub alloc: u64,
    pub total_alloc: u64,
    pub sys: u64,
    /// Always 0, as in Go.
    pub lookups: u64,
    pub mallocs: u64,
    pub frees: u64,
    pub heap_alloc: u64,
    pub heap_sys: u64,
    pub heap_idle: u64,
    pub heap_inuse: u64,
    pub heap_released: u64,
    pub heap_objects: u64,
    pub stack_inuse: u64,
    pub stack_sys: u64,
    pub mspan_inuse: u64,
    pub mspan_sys: u64,
    pub mcache_inuse: u64,
    pub mcache_sys: u64,
    pub buck_hash_sys: u64,
    pub gc_sys: u64,
    pub other_sys: u64,
    pub next_gc: u64,
    pub last_gc: u64,
    pub pause_total_ns: u64,
    /// `None`: they were not to be read.
    pub pauses: Option<Box<Pauses>>,
    pub num_gc: u32,
    pub num_forced_gc: u32,
    pub gc_cpu_fraction: f64,
    /// Always true, as in Go.
    pub enable_gc: bool,
    /// Always false, as in Go.
    pub debug_gc: bool,
    pub by_size: [BySize; BY_SIZE],
}

/// `PauseNs` and `PauseEnd`: the pause of cycle `n` is at `(n + 255) % 256`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pauses {
    pub ns: [u64; PAUSES],
    pub end: [u64; PAUSES],
}

/// One small size class since the start of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BySize {
    pub size: u32,
    pub mallocs: u64,
    pub frees: u64,
}

/// What `runtime.memstats` and `runtime.gcController` hold, the three generations of `heapStats` summed.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    pub(super) committed: u64,
    pub(super) released: u64,
    pub(super) in_heap: u64,
    pub(super) in_stacks: u64,
    /// With inPtrScalarBits, which up to Go 1.24 is kept and summed like it.
    pub(super) in_work_bufs: u64,
    pub(super) tiny_allocs: u64,
    pub(super) large: BySize,
    pub(super) large_alloc_bytes: u64,
    pub(super) large_free_bytes: u64,
    pub(super) small_mallocs: [u64; CLASSES],
    pub(super) small_frees: [u64; CLASSES],
    pub(super) stacks_sys: u64,
    pub(super) mspan_sys: u64,
    pub(super) mcache_sys: u64,
    pub(super) buckhash_sys: u64,
    pub(super) gc_misc_sys: u64,
    pub(super) other_sys: u64,
    pub(super) last_gc_unix: u64,
    pub(super) pause_total_ns: u64,
    pub(super) pauses: Option<Box<Pauses>>,
    pub(super) num_gc: u32,
    pub(super) num_forced_gc: u32,
    pub(super) gc_cpu_fraction: f64,
    pub(super) gc: Pacer,
}

/// `runtime.gcController`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacer {
    pub(super) gc_percent: i32,
    pub(super) memory_limit: u64,
    pub(super) gc_percent_heap_goal: u64,
    pub(super) sweep_dist_min_trigger: u64,
    pub(super) triggered: u64,
    pub(super) heap_live: u64,
    pub(super) heap_marked: u64,
    pub(super) heap_in_use: u64,
    pub(super) heap_released: u64,
    pub(super) heap_free: u64,
    pub(super) total_alloc: u64,
    pub(super) total_free: u64,
    pub(super) mapped_ready: u64,
}

/// Allocations of spans that a P holds: not yet in the counters, and flushed by ReadMemStats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unflushed {
    /// Objects by size class. Signed: the counters may have moved under the reader.
    pub objects: [i64; CLASSES],
    pub tiny_allocs: u64,
}

impl Default for Unflushed {
    fn default() -> Unflushed {
        Unflushed { objects: [0; CLASSES], tiny_allocs: 0 }
    }
}

impl Unflushed {
    pub fn bytes(&self) -> i64 {
        self.objects
            .iter()
            .zip(CLASS_BYTES)
            .fold(0, |sum, (count, bytes)| sum.wrapping_add(count.wrapping_mul(i64::from(bytes))))
    }
}

/// Memory in the hands of the kernel, counted in one place and not yet in the other. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moving {
    /// The heap grows: in gcController.heapReleased before the call, in heapStats after it (Go mheap.go, grow).
    mapped: u64,
    /// Given back: out of mappedReady before the call, in heapReleased after it (Go mem.go, sysUnused).
    returned: u64,
}

impl Moving {
    pub(super) fn bytes(self) -> u64 {
        self.mapped.saturating_add(self.returned)
    }
}

impl Counters {
    /// So much of `runtime.memstats`, from its start, has all that is parsed; what is behind it changed with the releases.
    pub(super) fn bytes_read(layout: &Layout) -> u32 {
        let m = &layout.mstats;
        let sizes = [m.stacks_sys, m.mspan_sys, m.mcache_sys, m.buckhash_sys, m.gc_misc_sys, m.other_sys];
        let cycles = [m.last_gc_unix, m.pause_total_ns, m.numgc, m.numforcedgc, m.gc_cpu_fraction];
        let words = sizes.iter().chain(&cycles).map(|at| at.saturating_add(8));
        let pauses = Counters::pauses(layout).map(|(at, bytes)| at.saturating_add(bytes));
        let deltas = m.heap_stats.saturating_add(layout.delta.bytes.saturating_mul(3));
        words.chain(pauses).fold(deltas, u32::max).min(m.bytes)
    }

    /// Where in it the pauses are, offset and bytes.
    pub(super) fn pauses(layout: &Layout) -> [(u32, u32); 2] {
        [layout.mstats.pause_ns, layout.mstats.pause_end].map(|at| (at, 8 * PAUSES as u32))
    }

    /// Without the pauses.
    pub(super) fn parse(layout: &Layout, memstats: Bytes<'_>, gc: Bytes<'_>) -> Result<Counters, RuntimeError> {
        let (m, d) = (&layout.mstats, &layout.delta);
        let mut deltas = [Bytes(&[]); 3];
        for (index, delta) in (0u32..).zip(&mut deltas) {
            *delta = memstats.from(m.heap_stats.saturating_add(index.saturating_mul(d.bytes)))?;
        }
        // Modular: a generation alone may be negative.
        let sum = |at: u32| {
            deltas.iter().try_fold(0u64, |sum, delta| Ok::<_, RuntimeError>(sum.wrapping_add(delta.u64(at)?)))
        };
        let sums = |at: u32| {
            let mut sums = [0u64; CLASSES];
            for delta in &deltas {
                for (sum, word) in sums.iter_mut().zip(delta.words::<CLASSES>(at)?) {
                    *sum = sum.wrapping_add(word);
                }
            }
            Ok::<_, RuntimeError>(sums)
        };
        let bits = d.in_ptr_scalar_bits.map_or(Ok(0), sum)?;
        Ok(Counters {
            committed: sum(d.committed)?,
            released: sum(d.released)?,
            in_heap: sum(d.in_heap)?,
            in_stacks: sum(d.in_stacks)?,
            in_work_bufs: sum(d.in_work_bufs)?.wrapping_add(bits),
            tiny_allocs: sum(d.tiny_alloc_count)?,
            large: BySize { size: 0, mallocs: sum(d.large_alloc_count)?, frees: sum(d.large_free_count)? },
            large_alloc_bytes: sum(d.large_alloc)?,
            large_free_bytes: sum(d.large_free)?,
            small_mallocs: sums(d.small_alloc_count)?,
            small_frees: sums(d.small_free_count)?,
            stacks_sys: memstats.u64(m.stacks_sys)?,
            mspan_sys: memstats.u64(m.mspan_sys)?,
            mcache_sys: memstats.u64(m.mcache_sys)?,
            buckhash_sys: memstats.u64(m.buckhash_sys)?,
            gc_misc_sys: memstats.u64(m.gc_misc_sys)?,
            other_sys: memstats.u64(m.other_sys)?,
            last_gc_unix: memstats.u64(m.last_gc_unix)?,
            pause_total_ns: memstats.u64(m.pause_total_ns)?,
            pauses: None,
            num_gc: memstats.u32(m.numgc)?,
            num_forced_gc: memstats.u32(m.numforcedgc)?,
            gc_cpu_fraction: f64::from_bits(memstats.u64(m.gc_cpu_fraction)?),
            gc: Pacer::parse(layout, gc)?,
        })
    }

    pub(super) fn with_pauses(self, layout: &Layout, memstats: Bytes<'_>) -> Result<Counters, RuntimeError> {
        let [(ns, _), (end, _)] = Counters::pauses(layout);
        let pauses = Pauses { ns: memstats.words(ns)?, end: memstats.words(end)? };
        Ok(Counters { pauses: Some(Box::new(pauses)), ..self })
    }

    /// Bytes ever allocated and ever freed, without what is unflushed.
    pub(super) fn totals(&self) -> (u64, u64) {
        let sum = |large: u64, counts: &[u64; CLASSES]| {
            counts
                .iter()
                .zip(CLASS_BYTES)
                .fold(large, |sum, (count, bytes)| sum.wrapping_add(count.wrapping_mul(u64::from(bytes))))
        };
        (sum(self.large_alloc_bytes, &self.small_mallocs), sum(self.large_free_bytes, &self.small_frees))
    }

    /// `MemStats.Sys`.
    pub(super) fn mapped(&self) -> u64 {
        let gc = &self.gc;
        let parts = [gc.heap_in_use, gc.heap_free, gc.heap_released, self.stacks_sys, self.mspan_sys, self.mcache_sys];
        let others = [self.buckhash_sys, self.gc_misc_sys, self.other_sys, self.in_stacks, self.in_work_bufs];
        parts.iter().chain(&others).fold(0, |sum, part| sum.wrapping_add(*part))
    }

    /// What system calls under way can account for. Every P and the background scavenger move a chunk at a time.
    pub(super) fn moving(&self, ps: u64) -> Moving {
        let most = ps.saturating_add(1).saturating_mul(CHUNK_BYTES);
        let pages = |bytes: u64| if bytes <= most && bytes.is_multiple_of(SYSTEM_PAGE_BYTES) { bytes } else { 0 };
        let mapped = pages(self.gc.heap_released.wrapping_sub(self.released));
        let parts = self.mapped().wrapping_sub(self.released);
        Moving { mapped, returned: pages(parts.wrapping_sub(self.gc.mapped_ready).wrapping_sub(mapped)) }
    }

    /// The identities I1..I6 of Go's doubleCheckReadMemStats: what they are off by, 0 at rest. `moving` is allowed for.
    pub(super) fn gaps(&self, moving: Moving) -> [(&'static str, i64); 6] {
        let (gc, (alloc, free)) = (&self.gc, self.totals());
        let retained = self.committed.wrapping_sub(self.in_stacks).wrapping_sub(self.in_work_bufs);
        let pairs = [
            ("heap in use, counted twice by the runtime", gc.heap_in_use, self.in_heap),
            (
                "released heap, counted twice by the runtime",
                gc.heap_released,
                self.released.wrapping_add(moving.mapped),
            ),
            ("heap in use and free against committed memory", gc.heap_in_use.wrapping_add(gc.heap_free), retained),
            ("bytes ever allocated against the size classes", gc.total_alloc, alloc),
            ("bytes ever freed against the size classes", gc.total_free, free),
            (
                "mapped memory against the sum of its parts",
                gc.mapped_ready.wrapping_add(moving.mapped).wrapping_add(moving.returned),
                self.mapped().wrapping_sub(self.released),
            ),
        ];
        pairs.map(|(what, one, other)| (what, one.wrapping_sub(other).cast_signed()))
    }

    /// With `unflushed` as ReadMemStats would report it, without as runtime/metrics does. Its pauses are left to be moved.
    pub(super) fn memstats(
        &self,
        unflushed: &Unflushed,
        mspan_inuse: u64,
        mcache_inuse: u64,
        headroom_percent: u64,
    ) -> MemStats {
        let (gc, (alloc, free)) = (&self.gc, self.totals());
        let alloc = alloc.wrapping_add_signed(unflushed.bytes());
        let sum =
            |large: u64, counts: &[u64; CLASSES]| counts.iter().fold(large, |sum, count| sum.wrapping_add(*count));
        let tiny = self.tiny_allocs.wrapping_add(unflushed.tiny_allocs);
        let cached = unflushed.objects.iter().fold(0i64, |sum, count| sum.wrapping_add(*count));
        let mallocs = sum(self.large.mallocs, &self.small_mallocs).wrapping_add_signed(cached).wrapping_add(tiny);
        let frees = sum(self.large.frees, &self.small_frees).wrapping_add(tiny);
        let heap_idle = gc.heap_free.wrapping_add(gc.heap_released);
        let heap_alloc = alloc.wrapping_sub(free);
        let counts = self.small_mallocs.iter().zip(&unflushed.objects).zip(&self.small_frees);
        let mut by_size = [BySize::default(); BY_SIZE];
        for ((class, size), ((mallocs, cached), frees)) in by_size.iter_mut().zip(CLASS_BYTES).zip(counts) {
            *class = BySize { size: size.into(), mallocs: mallocs.wrapping_add_signed(*cached), frees: *frees };
        }
        MemStats {
            alloc: heap_alloc,
            total_alloc: alloc,
            sys: self.mapped(),
            lookups: 0,
            mallocs,
            frees,
            heap_alloc,
            heap_sys: gc.heap_in_use.wrapping_add(heap_idle),
            heap_idle,
            heap_inuse: gc.heap_in_use,
            heap_released: gc.heap_released,
            heap_objects: mallocs.wrapping_sub(frees),
            stack_inuse: self.in_stacks,
            stack_sys: self.in_stacks.wrapping_add(self.stacks_sys),
            mspan_inuse,
            mspan_sys: self.mspan_sys,
            mcache_inuse,
            mcache_sys: self.mcache_sys,
            buck_hash_sys: self.buckhash_sys,
            gc_sys: self.gc_misc_sys.wrapping_add(self.in_work_bufs),
            other_sys: self.other_sys,
            next_gc: gc.heap_goal(gc.total_alloc.wrapping_add_signed(unflushed.bytes()), headroom_percent),
            last_gc: self.last_gc_unix,
            pause_total_ns: self.pause_total_ns,
            pauses: None,
            num_gc: self.num_gc,
            num_forced_gc: self.num_forced_gc,
            gc_cpu_fraction: self.gc_cpu_fraction,
            enable_gc: true,
            debug_gc: false,
            by_size,
        }
    }
}

impl Pacer {
    fn parse(layout: &Layout, bytes: Bytes<'_>) -> Result<Pacer, RuntimeError> {
        let gc = &layout.gc;
        Ok(Pacer {
            gc_percent: bytes.u32(gc.gc_percent)?.cast_signed(),
            memory_limit: bytes.u64(gc.memory_limit)?,
            gc_percent_heap_goal: bytes.u64(gc.gc_percent_heap_goal)?,
            sweep_dist_min_trigger: bytes.u64(gc.sweep_dist_min_trigger)?,
            triggered: bytes.u64(gc.triggered)?,
            heap_live: bytes.u64(gc.heap_live)?,
            heap_marked: bytes.u64(gc.heap_marked)?,
            heap_in_use: bytes.u64(gc.heap_in_use)?,
            heap_released: bytes.u64(gc.heap_released)?,
            heap_free: bytes.u64(gc.heap_free)?,
            total_alloc: bytes.u64(gc.total_alloc)?,
            total_free: bytes.u64(gc.total_free)?,
            mapped_ready: bytes.u64(gc.mapped_ready)?,
        })
    }

    /// `heapGoalInternal` (Go mgcpacer.go).
    fn heap_goal(&self, total_alloc: u64, headroom_percent: u64) -> u64 {
        const MIN_RUNWAY: u64 = 64 << 10;
        let limited = self.memory_limit_goal(total_alloc, headroom_percent);
        if limited < self.gc_percent_heap_goal {
            return limited;
        }
        let goal = self.gc_percent_heap_goal.max(self.sweep_dist_min_trigger);
        match self.triggered {
            u64::MAX => goal,
            triggered => goal.max(triggered.wrapping_add(MIN_RUNWAY)),
        }
    }

    /// `memoryLimitHeapGoal` (Go mgcpacer.go).
    fn memory_limit_goal(&self, total_alloc: u64, headroom_percent: u64) -> u64 {
        const MIN_HEADROOM: u64 = 1 << 20;
        let heap_alloc = total_alloc.wrapping_sub(self.total_free);
        // Saturating where the runtime waits for consistent counters.
        let other = self.mapped_ready.saturating_sub(self.heap_free).saturating_sub(heap_alloc);
        let overage = self.mapped_ready.saturating_sub(self.memory_limit);
        let taken = other.saturating_add(overage);
        if taken >= self.memory_limit {
            return self.heap_marked;
        }
        let goal = self.memory_limit - taken;
        let headroom = (goal / 100 * headroom_percent).max(MIN_HEADROOM);
        goal.saturating_sub(headroom).max(headroom).max(self.heap_marked)
    }
}
