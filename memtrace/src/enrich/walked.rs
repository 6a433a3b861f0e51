//! The last state of processes that were killed: what the kernel walked of them, with names for the addresses.
use super::closeup::{LastState, goroutine_sites, heap_sites};
use super::profiles::{Names, named_goroutines, named_heap};
use crate::event::{TargetId, Walk};
use crate::goruntime::{Runtime, Symbolizer, Walked};
use std::collections::HashMap;

/// Names must be at hand before the process is gone; files are shared by all processes that run them.
pub(super) struct Walks {
    /// As the two profiles want functions to be named.
    heap: Symbolizer,
    goroutines: Symbolizer,
    open: HashMap<TargetId, Walked>,
}

impl std::fmt::Debug for Walks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walks").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Walks {
    pub(super) fn new() -> Self {
        Self { heap: Symbolizer::with_type_arguments(), goroutines: Symbolizer::new(), open: HashMap::new() }
    }

    /// Of a process that is still there.
    pub(super) fn attach(&mut self, pid: u32) {
        self.heap.attach(pid);
        self.goroutines.attach(pid);
    }

    pub(super) fn forget(&mut self, pid: u32, target: TargetId) {
        self.heap.forget(pid);
        self.goroutines.forget(pid);
        self.open.remove(&target);
    }

    /// The last state, with the last part of the walk.
    pub(super) fn take(&mut self, walk: &Walk, runtime: &Runtime) -> Option<LastState> {
        let (pid, target) = (walk.meta.tgid, walk.meta.target);
        let walked = self.open.entry(target).or_default();
        walked.add(&walk.part);
        let end = *walked.end()?;
        let walked = self.open.remove(&target)?;
        let heap = walked.heap(&runtime.layout).inspect_err(|why| log::debug!("pid {pid}: its last heap: {why}")).ok();
        let heap = heap.filter(|profile| profile.rate_bytes > 0);
        let goroutines = walked.goroutines().inspect_err(|why| log::debug!("pid {pid}: its last goroutines: {why}"));
        let heap = heap.map(|found| named_heap(&found, Names::of(pid, &mut self.heap)).0);
        let named = |found| named_goroutines(&found, 0, &runtime.wait_reasons, Names::of(pid, &mut self.goroutines)).0;
        Some(LastState {
            target,
            t_ns: walk.meta.t_ns,
            end,
            heap: heap.map(|profile| heap_sites(&profile)),
            goroutines: goroutines.ok().map(named).map(|profile| goroutine_sites(&profile)),
        })
    }
}
