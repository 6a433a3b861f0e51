//! Profiles of one process: its goroutines and its heap allocations, with names for the addresses.
use crate::goruntime::goroutines::{GoroutineCount, Goroutines, is_system};
use crate::goruntime::heapprofile::HeapProfile;
use crate::goruntime::{Frame, Runtime, RuntimeError, Symbolizer};
use crate::procfs::clock;
use crate::profile::{Profile, Sample, ValueType};
use std::collections::{BTreeMap, HashMap};

/// What is said of goroutines beside their profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoroutineTotals {
    /// As `runtime.NumGoroutine`, from the scheduler's own counters.
    pub num_goroutine: u64,
    /// Found by the walk, which a running process changes under it; the runtime's own left out.
    pub counted: u64,
    pub stack_bytes: u64,
    /// The runtime's own.
    pub system: GoroutineCount,
    /// One in so many was looked at, and stands for that many; 1: all.
    pub one_in: u64,
    /// In the totals but, for the number of kinds, not in the profile.
    pub unlisted: u64,
    /// Structures that are free to be used again.
    pub dead: u64,
    pub damaged: u64,
}

/// What is said of the heap beside its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapTotals {
    /// One sample in so many bytes allocated; 0: the program keeps no profile.
    pub rate_bytes: u64,
    /// Records for which there was no room.
    pub left_out: u64,
}

/// Every kind of goroutine with its start function, the function that made it, state and wait reason.
pub fn goroutines(pid: u32, runtime: &Runtime) -> Result<(Profile, GoroutineTotals), RuntimeError> {
    let num_goroutine = runtime.sample()?.num_goroutine;
    let found = runtime.goroutines()?;
    let mut symbolizer = Symbolizer::new();
    symbolizer.attach(pid);
    Ok(named_goroutines(&found, num_goroutine, &runtime.wait_reasons, Names::of(pid, &mut symbolizer)))
}

/// The same of goroutines that were read before.
pub(super) fn named_goroutines(
    found: &Goroutines,
    num_goroutine: u64,
    wait_reasons: &[String],
    mut names: Names<'_>,
) -> (Profile, GoroutineTotals) {
    let now_ns = clock::monotonic_ns();
    let other = found.other.scaled(found.one_in);
    let mut totals = GoroutineTotals {
        num_goroutine,
        counted: other.count,
        stack_bytes: other.stack_bytes,
        one_in: found.one_in,
        unlisted: other.count,
        dead: found.dead * found.one_in,
        damaged: found.damaged * found.one_in,
        ..GoroutineTotals::default()
    };
    let mut samples = Vec::new();
    for (kind, count) in &found.kinds {
        let count = count.scaled(found.one_in);
        // A pc at the entry: look-ups go one byte back, into the call.
        let start = names.function(kind.start_pc.saturating_add(1));
        if start.function.as_deref().is_some_and(is_system) {
            totals.system.add(&count);
            continue;
        }
        totals.counted += count.count;
        totals.stack_bytes += count.stack_bytes;
        // The main goroutine is made by the start-up code, which says nothing.
        let is_made = kind.creator_pc != 0 && start.function.as_deref() != Some("runtime.main");
        let creator = is_made.then(|| names.function(kind.creator_pc));
        let mut labels = BTreeMap::from([("state".to_owned(), kind.state.as_str().to_owned())]);
        let reason = kind.wait_reason.and_then(|reason| wait_reasons.get(usize::from(reason)));
        labels.extend(reason.filter(|reason| !reason.is_empty()).map(|text| ("wait_reason".to_owned(), text.clone())));
        let waiting = count.waiting_since_ns.map(|since| nanoseconds(now_ns.saturating_sub(since)));
        samples.push(Sample {
            stack: std::iter::once(start).chain(creator).collect(),
            labels,
            numbers: waiting.map(|age| ("waiting".to_owned(), age)).into_iter().collect(),
            values: vec![count.count.cast_signed(), count.stack_bytes.cast_signed()],
        });
    }
    let types = vec![ValueType::new("goroutine", "count"), ValueType::new("stack_space", "bytes")];
    let profile = Profile { types, shown: 0, period: Some((ValueType::new("goroutine", "count"), 1)), samples };
    (profile.merged(), totals)
}

/// As `runtime/pprof` writes it: the runtime's own innermost calls are hidden, estimates instead of samples.
pub fn heap(pid: u32, runtime: &Runtime) -> Result<(Profile, HeapTotals), RuntimeError> {
    let found = runtime.heap_profile()?;
    let mut symbolizer = Symbolizer::with_type_arguments();
    symbolizer.attach(pid);
    Ok(named_heap(&found, Names::of(pid, &mut symbolizer)))
}

/// The same of a profile that was read before.
pub(super) fn named_heap(found: &HeapProfile, mut names: Names<'_>) -> (Profile, HeapTotals) {
    let samples = found.records.iter().map(|record| {
        let size = record.alloc_bytes.checked_div(record.allocs).map(|bytes| (bytes.cast_signed(), "bytes".to_owned()));
        Sample {
            stack: names.allocation(&record.stack),
            labels: BTreeMap::new(),
            numbers: size.map(|size| ("bytes".to_owned(), size)).into_iter().collect(),
            values: record.unsampled(found.rate_bytes).to_vec(),
        }
    });
    let types =
        [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")];
    let profile = Profile {
        samples: samples.collect(),
        types: types.iter().map(|(name, unit)| ValueType::new(name, unit)).collect(),
        shown: 3,
        period: Some((ValueType::new("space", "bytes"), found.rate_bytes.cast_signed())),
    };
    (profile, HeapTotals { rate_bytes: found.rate_bytes, left_out: found.left_out })
}

fn nanoseconds(value: u64) -> (i64, String) {
    (i64::try_from(value).unwrap_or(i64::MAX), "nanoseconds".to_owned())
}

/// Names of return addresses, each looked up once.
pub(super) struct Names<'a> {
    pid: u32,
    symbolizer: &'a mut Symbolizer,
    known: HashMap<u64, Vec<Frame>>,
}

impl Names<'_> {
    /// Of a process to which the symbolizer was attached.
    pub(super) fn of(pid: u32, symbolizer: &mut Symbolizer) -> Names<'_> {
        Names { pid, symbolizer, known: HashMap::new() }
    }

    /// Innermost inlined call first.
    fn frames(&mut self, address: u64) -> &[Frame] {
        let Names { pid, symbolizer, known } = self;
        known.entry(address).or_insert_with(|| symbolizer.resolve(*pid, &[address]))
    }

    /// The function itself with the line of the innermost call inlined into it, as Go's tracebacks name a creator.
    fn function(&mut self, address: u64) -> Frame {
        let frames = self.frames(address);
        let innermost = frames.first().cloned().unwrap_or_default();
        Frame { function: frames.last().and_then(|outermost| outermost.function.clone()), ..innermost }
    }

    /// The runtime writes down an address for every call, inlined ones too (Go traceback.go, tracebackPCs), so that each
    /// is one frame; but the last may have been cut off from those it is inlined into (Go symtab.go,
    /// runtime_expandFinalInlineFrame).
    fn allocation(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let is_last = index + 1 == addresses.len();
            let of = self.frames(*address);
            frames.extend(of.iter().take(if is_last { usize::MAX } else { 1 }).cloned());
        }
        let is_runtime = |frame: &Frame| {
            let name = frame.function.as_deref().unwrap_or_default();
            name.starts_with("runtime.") || name.starts_with("internal/runtime/")
        };
        let hidden = frames.iter().position(|frame| !is_runtime(frame)).unwrap_or(0);
        frames.drain(..hidden);
        // Below every goroutine; pprof has no frame for it.
        frames.retain(|frame| frame.function.as_deref() != Some("runtime.goexit"));
        frames
    }
}
