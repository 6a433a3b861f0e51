//! In which memory cgroups the targets are, so that what these tell reaches them.
use super::describe::Described;
use super::news::News;
use crate::cgroup::notify;
use crate::event::{GoCounters, TargetId};
use crate::goruntime::memory;
use crate::host::mounts::CgroupFacts;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::process::{Incarnation, Stat};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Processes seldom move: they are looked for again at each such tick.
const LOOKS_EVERY_TICKS: u32 = 16;

/// What is told of one target.
#[derive(Clone, Debug)]
pub enum Whereabouts {
    /// Replaces what was told before. Its own cgroup first, then those above it that have a limit; none: not known.
    In {
        target: TargetId,
        heap: HeapReader,
        cgroups: Vec<Arc<Path>>,
    },
    Gone(TargetId),
}

/// Who is told.
pub type TellWhere = Box<dyn FnMut(Whereabouts) + Send>;

/// Reads the Go counters of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapReader {
    pub pid: u32,
    /// 0: it has none that can be read.
    counters: u64,
    incarnation: Option<Incarnation>,
}

impl HeapReader {
    pub(super) fn new(pid: u32, counters: u64, incarnation: Option<Incarnation>) -> Self {
        Self { pid, counters, incarnation }
    }

    /// `None`: not read, did not add up this time, or no longer its own.
    pub fn read(&self) -> Option<GoCounters> {
        let read = self.read_unproven()?;
        self.proves(&Stat::read(self.pid).ok()?).then_some(read)
    }

    /// Of whatever is there.
    pub(super) fn read_unproven(&self) -> Option<GoCounters> {
        let read = memory::read_counters(self.pid, Some(self.counters).filter(|at| *at != 0)?).ok()?;
        memory::check(&read).ok().map(|()| read)
    }

    /// `stat`: read later.
    pub(super) fn proves(&self, stat: &Stat) -> bool {
        self.incarnation.is_some() && Incarnation::of(self.pid, stat).ok() == self.incarnation
    }
}

/// Of all targets; tells what has changed.
pub(super) struct Wheres {
    facts: CgroupFacts,
    tell: Option<TellWhere>,
    known: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    target: TargetId,
    heap: HeapReader,
    own: Option<PathBuf>,
    ticks: u32,
}

impl Wheres {
    pub(super) fn new(facts: CgroupFacts) -> Self {
        Self { facts, tell: None, known: HashMap::new() }
    }

    /// Tells of those that come from now on.
    pub(super) fn telling(self, tell: Option<TellWhere>) -> Self {
        Self { tell, ..self }
    }

    /// A target that is new, is another program now, or has ticked.
    pub(super) fn look(&mut self, pid: u32, target: TargetId, described: &Described, news: &mut impl FnMut(News)) {
        let heap = described.heap_reader(pid);
        let before = self.known.get_mut(&pid).filter(|known| known.target == target && known.heap == heap);
        if let Some(known) = before {
            known.ticks += 1;
            if !known.ticks.is_multiple_of(LOOKS_EVERY_TICKS) {
                return;
            }
        }
        let own = read_memberships(pid).ok().and_then(|of| self.facts.memory_directory(&of));
        if self.known.get(&pid).is_some_and(|known| (known.target, known.heap, &known.own) == (target, heap, &own)) {
            return;
        }
        news(News::Where(target, own.clone()));
        let cgroups = own.clone().map(|own| notify::that_may_run_out(own, &self.facts)).unwrap_or_default();
        if let Some(tell) = &mut self.tell {
            tell(Whereabouts::In { target, heap, cgroups: cgroups.into_iter().map(Arc::from).collect() });
        }
        self.known.insert(pid, Known { target, heap, own, ticks: 0 });
    }

    /// The window is over.
    pub(super) fn stop(&mut self) {
        self.tell = None;
    }

    pub(super) fn forget(&mut self, pid: u32) {
        if let (Some(known), Some(tell)) = (self.known.remove(&pid), &mut self.tell) {
            tell(Whereabouts::Gone(known.target));
        }
    }
}
