//! The goroutines of a process (Go runtime2.go, `g`; proc.go, `allgs`), counted by what they wait for and who made them.
use std::collections::HashMap;

use memtrace_common::records::GoroutineItem;

use super::bytes::Bytes;
use super::memory::ReadMemory;
use super::runtime::{Runtime, RuntimeError};
use super::sample::implausible;
use super::statics::{gather, words};

/// Goroutines looked at; of more, every second is, or every third, and so on.
pub const GOROUTINES_MAX: u64 = 1 << 18;
/// Kinds of goroutine told apart; those of further kinds are only counted.
const KINDS_MAX: usize = 1 << 14;
/// More than any process has: 2^32 stacks of 2 KiB.
const LIST_MAX: u64 = 1 << 32;
/// Read at a time, about 300 bytes of each.
const BATCH: usize = 1 << 12;
/// No goroutine has more stack (Go proc.go, maxstackceiling: twice the 1 GB of maxstacksize).
const STACK_MAX_BYTES: u64 = 1 << 31;
/// Set in g.atomicstatus while the collector looks at the goroutine.
const SCANNED: u32 = 0x1000;

/// As Go's tracebacks name them (runtime2.go, `_Grunnable` and so on; traceback.go, gStatusStrings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GoroutineState {
    Idle,
    Runnable,
    Running,
    Syscall,
    Waiting,
    CopyStack,
    Preempted,
    Leaked,
}

impl GoroutineState {
    pub fn as_str(self) -> &'static str {
        match self {
            GoroutineState::Idle => "idle",
            GoroutineState::Runnable => "runnable",
            GoroutineState::Running => "running",
            GoroutineState::Syscall => "syscall",
            GoroutineState::Waiting => "waiting",
            GoroutineState::CopyStack => "copystack",
            GoroutineState::Preempted => "preempted",
            GoroutineState::Leaked => "leaked",
        }
    }
}

/// What goroutines have in common. Addresses are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GoroutineKind {
    pub state: GoroutineState,
    /// `g.waitreason` of those that wait; what it means depends on the release.
    pub wait_reason: Option<u8>,
    /// Entry of the function it was started with; 0: none.
    pub start_pc: u64,
    /// Return address of the `go` statement; 0: none.
    pub creator_pc: u64,
}

/// All goroutines of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoroutineCount {
    pub count: u64,
    pub stack_bytes: u64,
    /// Those of which it is known since when they wait: the collector writes it down when it first meets them waiting.
    pub timed: u64,
    /// The earliest of these times, CLOCK_MONOTONIC.
    pub waiting_since_ns: Option<u64>,
}

/// One walk over `runtime.allgs`. A smear of a running process: each goroutine as it was when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goroutines {
    pub kinds: HashMap<GoroutineKind, GoroutineCount>,
    /// One in so many was looked at; 1: all.
    pub one_in: u64,
    /// Of kinds beyond the 16384 that are told apart.
    pub other: GoroutineCount,
    /// Left to be used again.
    pub dead: u64,
    /// Torn by the running target: left out.
    pub damaged: u64,
}

enum Parsed {
    Goroutine(GoroutineKind, u64, Option<u64>),
    Dead,
    Damaged,
}

impl<M: ReadMemory> Runtime<M> {
    /// All goroutines, those of the runtime itself too; at most [`GOROUTINES_MAX`] are looked at. Memory: 4 MiB, and the
    /// kinds.
    pub fn goroutines(&self) -> Result<Goroutines, RuntimeError> {
        let (list, length) = self.slice(self.globals.allgs)?;
        if length > LIST_MAX {
            return Err(implausible(&format!("{length} goroutines")));
        }
        let one_in = length.div_ceil(GOROUTINES_MAX).max(1);
        let mut found = Goroutines { one_in, ..Goroutines::default() };
        let g = &self.layout.g;
        let stack_end = g.stack.saturating_add(16);
        let ends = [stack_end, g.atomicstatus + 4, g.waitreason + 1, g.waitsince + 8, g.startpc + 8, g.gopc + 8];
        let window = ends.into_iter().max().unwrap_or(0).min(g.bytes).into();
        let mut from = 0;
        let mut buffer = Vec::new();
        while from < length {
            let places = (from..length).step_by(one_in as usize).take(BATCH);
            let addresses: Vec<u64> = places.map(|index| list.saturating_add(8 * index)).collect();
            from += one_in * addresses.len() as u64;
            let pointers = if one_in == 1 {
                let mut all = vec![0u8; 8 * addresses.len()];
                self.memory.read(addresses.first().copied().unwrap_or(0), &mut all)?;
                all
            } else {
                gather(&self.memory, &addresses, 8)?
            };
            let goroutines: Vec<u64> = words(&pointers).filter(|g| *g != 0).collect();
            // Those made one after the other are neighbours, on pages that are theirs.
            let gap = 2 * u64::from(g.bytes) - window;
            self.read_near(&goroutines, window, gap, &mut buffer, |bytes| {
                found.take(self.parse_goroutine(bytes)?);
                Ok(true)
            })?;
        }
        Ok(found)
    }

    fn parse_goroutine(&self, bytes: Bytes<'_>) -> Result<Parsed, RuntimeError> {
        let g = &self.layout.g;
        let [low, high] = bytes.words(g.stack)?;
        Ok(parse(&GoroutineItem {
            stack_bytes: high.wrapping_sub(low),
            startpc: bytes.u64(g.startpc)?,
            gopc: bytes.u64(g.gopc)?,
            waitsince: bytes.u64(g.waitsince)?,
            atomicstatus: bytes.u32(g.atomicstatus)?,
            waitreason: bytes.u8(g.waitreason)?.into(),
        }))
    }
}

fn parse(item: &GoroutineItem) -> Parsed {
    let state = match item.atomicstatus & !SCANNED {
        0 => GoroutineState::Idle,
        1 => GoroutineState::Runnable,
        2 => GoroutineState::Running,
        3 => GoroutineState::Syscall,
        4 => GoroutineState::Waiting,
        8 => GoroutineState::CopyStack,
        9 => GoroutineState::Preempted,
        10 => GoroutineState::Leaked,
        // _Gdead, and since Go 1.26 _Gdeadextra: of a thread that C made.
        6 | 11 => return Parsed::Dead,
        _ => return Parsed::Damaged,
    };
    if item.stack_bytes > STACK_MAX_BYTES {
        return Parsed::Damaged;
    }
    let waits = matches!(state, GoroutineState::Waiting | GoroutineState::Leaked);
    let wait_reason = if waits { u8::try_from(item.waitreason).ok() } else { None };
    let kind = GoroutineKind { state, wait_reason, start_pc: item.startpc, creator_pc: item.gopc };
    let since = if waits { item.waitsince } else { 0 };
    Parsed::Goroutine(kind, item.stack_bytes, Some(since).filter(|since| *since != 0))
}

impl Goroutines {
    /// Those that were read elsewhere.
    pub(super) fn of(items: &[GoroutineItem], one_in: u64) -> Goroutines {
        let mut found = Goroutines { one_in, ..Goroutines::default() };
        items.iter().for_each(|item| found.take(parse(item)));
        found
    }

    fn take(&mut self, parsed: Parsed) {
        match parsed {
            Parsed::Dead => self.dead += 1,
            Parsed::Damaged => self.damaged += 1,
            Parsed::Goroutine(kind, stack_bytes, since) => self.add(kind, stack_bytes, since),
        }
    }

    fn add(&mut self, kind: GoroutineKind, stack_bytes: u64, since: Option<u64>) {
        let is_full = self.kinds.len() >= KINDS_MAX && !self.kinds.contains_key(&kind);
        let count = if is_full { &mut self.other } else { self.kinds.entry(kind).or_default() };
        count.add(&GoroutineCount { count: 1, stack_bytes, timed: since.is_some().into(), waiting_since_ns: since });
    }
}

impl GoroutineCount {
    pub fn add(&mut self, other: &GoroutineCount) {
        self.count += other.count;
        self.stack_bytes += other.stack_bytes;
        self.timed += other.timed;
        self.waiting_since_ns = [self.waiting_since_ns, other.waiting_since_ns].into_iter().flatten().min();
    }

    /// Of all, when only one in so many was counted.
    pub fn scaled(&self, one_in: u64) -> GoroutineCount {
        let scale = |n: u64| n.saturating_mul(one_in);
        GoroutineCount {
            count: scale(self.count),
            stack_bytes: scale(self.stack_bytes),
            timed: scale(self.timed),
            waiting_since_ns: self.waiting_since_ns,
        }
    }
}

/// Whether the runtime counts goroutines that started in this function as its own (Go traceback.go,
/// isSystemGoroutine), so that `runtime.NumGoroutine` leaves them out.
pub fn is_system(start_function: &str) -> bool {
    let users = ["runtime.main", "runtime.corostart", "runtime.handleAsyncEvent"];
    start_function.starts_with("runtime.") && !users.contains(&start_function)
}
