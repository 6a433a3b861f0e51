//! The loaded programs: the only room, with `source::ring`, that knows aya.
mod attach;
mod calibrate;
mod fatal;
mod faults;
mod known_calls;
mod load;
mod selftest;
mod sums;
mod targets;
mod urgent;
mod words;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray, RingBuf, StackTraceMap};
use aya_log::EbpfLogger;
use memtrace_common::counters::ProgramCounters;
use memtrace_common::names::{HOOKS, map};
use std::collections::HashMap;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread::JoinHandle;

use crate::account::ProgramAccount;
use crate::host::plan::FaultHook;

use attach::Attached;
use fatal::FatalFile;
use urgent::Urgent;

pub use calibrate::Calibration;
pub use known_calls::{CHILD_ARGUMENT, child_main};
pub use load::{Sizes, load};
pub use selftest::{Proof, self_test};

/// What went wrong on the way into the kernel.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    #[error("the eBPF object speaks another dialect (layout digest {object:#x}, expected {ours:#x}): rebuild memtrace")]
    Layout { object: u64, ours: u64 },
    #[error("the kernel refused the eBPF object: {0}")]
    Load(#[from] aya::EbpfError),
    #[error("no {0} in the eBPF object: rebuild memtrace")]
    Absent(&'static str),
    #[error("map {map}: {source}")]
    Map { map: &'static str, source: aya::maps::MapError },
    #[error("the target set is full ({0} processes)")]
    TargetsFull(u32),
    #[error("self-test: {0}")]
    SelfTest(String),
}

/// The programs in the kernel, what they are attached to, and their maps.
#[derive(Debug)]
pub struct Kernel {
    ebpf: Ebpf,
    /// Host-wide attachments, by program name.
    links: HashMap<&'static str, Vec<Attached>>,
    /// Page-fault events, by tgid.
    fault_links: HashMap<u32, Vec<Attached>>,
    fault_hook: FaultHook,
    /// Memory calls are added up in the kernel, where nobody wants each of them.
    sums_calls: bool,
    /// Fatal errors of Go are heard, in these files.
    hears_fatal: bool,
    fatal_files: Vec<FatalFile>,
    /// Threads that let go of such files.
    leaving: Vec<JoinHandle<()>>,
    /// BPF_ATOMIC with BPF_FETCH (5.12).
    fetching_atomics: bool,
    next_id: u32,
    /// The kernel's types as aya wants them, while programs are being attached to functions.
    btf: Option<aya::Btf>,
    probe_log: bool,
    /// Whether anything is walked.
    walks: bool,
    /// Processes of which nothing is copied, for want of room.
    pub words_full: u64,
    pub sizes: Sizes,
    pub calibration: Calibration,
}

/// Both rings, handed to the drain.
pub struct Rings {
    pub events: RingBuf<MapData>,
    pub urgent: Urgent,
    /// The probes' own diagnostics, when asked for.
    pub log: Option<EbpfLogger<&'static dyn log::Log>>,
}

/// User stacks by id.
pub struct Stacks(StackTraceMap<MapData>);

impl Stacks {
    /// User addresses, leaf first; `None` when the stack has been overwritten.
    pub fn get(&self, id: u32) -> Option<Vec<u64>> {
        let trace = self.0.get(&id, 0).ok()?;
        Some(trace.frames().iter().map(|f| f.ip).filter(|ip| *ip != 0).collect())
    }
}

fn map_error(map: &'static str) -> impl Fn(aya::maps::MapError) -> KernelError {
    move |source| KernelError::Map { map, source }
}

impl Kernel {
    /// Takes the rings out; once.
    pub fn rings(&mut self) -> Result<Rings, KernelError> {
        let mut take = |name: &'static str| self.ebpf.take_map(name).ok_or(KernelError::Absent(name));
        let events = RingBuf::try_from(take(map::EVENTS)?).map_err(map_error(map::EVENTS))?;
        let urgent = Urgent::open(take(map::URGENT)?)?;
        let log = if self.probe_log {
            EbpfLogger::init(&mut self.ebpf).map_err(|e| log::warn!("no log from the probes: {e}")).ok()
        } else {
            None
        };
        Ok(Rings { events, urgent, log })
    }

    /// Every hook's counters, summed over CPUs; hooks that saw nothing are left out.
    pub fn counters(&self) -> Result<Vec<ProgramAccount>, KernelError> {
        let counters = self.ebpf.map(map::COUNTERS).ok_or(KernelError::Absent(map::COUNTERS))?;
        let counters: PerCpuArray<_, ProgramCounters> =
            PerCpuArray::try_from(counters).map_err(map_error(map::COUNTERS))?;
        let mut out = Vec::new();
        for (hook, name) in HOOKS {
            let mut sum = ProgramAccount { name: name.into(), ..ProgramAccount::default() };
            for c in counters.get(&(hook as u32), 0).map_err(map_error(map::COUNTERS))?.iter() {
                sum.hits += c.hits;
                sum.filtered += c.filtered;
                sum.summed += c.summed;
                sum.submitted += c.submitted;
                sum.ring_full += c.ring_full;
                sum.read_failed += c.read_failed;
            }
            if sum.hits > 0 {
                out.push(sum);
            }
        }
        Ok(out)
    }

    /// Takes the stack map out; once.
    pub fn stacks(&mut self) -> Result<Stacks, KernelError> {
        let map = self.ebpf.take_map(map::STACKS).ok_or(KernelError::Absent(map::STACKS))?;
        Ok(Stacks(StackTraceMap::try_from(map).map_err(map_error(map::STACKS))?))
    }

    /// Nobody is a target any more: from here on nothing is recorded, though the programs still run.
    pub fn close_window(&mut self) -> Result<(), KernelError> {
        for tgid in self.target_tgids()? {
            self.drop_target(tgid)?;
        }
        self.fault_links.clear();
        Ok(())
    }

    /// Runs the kernel skipped: on a CPU where it is inside bpf() itself (our own map calls, preempted there) it starts no
    /// tracepoint program, and a program behind a function not while another thread of the CPU is inside it. Counted since
    /// 6.7; `None` before.
    pub fn skipped_runs(&self) -> Option<u64> {
        let skipped = |program: &aya::programs::Program| {
            crate::procfs::own_fdinfo(program.fd().ok()?.as_fd().as_raw_fd(), "recursion_misses")
        };
        self.ebpf.programs().filter_map(|(_, program)| skipped(program)).reduce(|sum, more| sum + more)
    }

    /// Ends every attachment; the maps stay readable. Each end waits for the kernel's readers, so they wait side by side.
    pub fn detach(&mut self) {
        self.fault_links.clear();
        let fatal = self.fatal_files.drain(..).flat_map(|file| file.links);
        let links: Vec<Attached> = self.links.drain().flat_map(|(_, links)| links).chain(fatal).collect();
        std::thread::scope(|scope| {
            for link in links {
                scope.spawn(move || drop(link));
            }
        });
    }

    pub fn hears_fatal(&self) -> bool {
        self.hears_fatal
    }

    pub fn fault_hook(&self) -> FaultHook {
        self.fault_hook
    }
}
