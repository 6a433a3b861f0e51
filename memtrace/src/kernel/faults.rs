//! Page-fault events per target, and the figures the kernel keeps of them.
use super::targets::found;
use super::{Kernel, KernelError};
use crate::host::plan::FaultHook;
use crate::procfs::process;
use memtrace_common::names::map;
use memtrace_common::refault::FaultStats;
use std::collections::HashSet;

/// Rescans of a process that makes threads while its threads are being attached.
const RESCANS: usize = 16;

impl Kernel {
    /// Opens the fault events of all threads of `tgid`. Threads made later inherit them; those that appear meanwhile may
    /// or may not have, which the program sorts out (`late`). `inherited`: the process was forked by one that has them.
    pub fn track_faults(&mut self, tgid: u32, inherited: bool) -> Result<(), String> {
        if self.fault_hook != FaultHook::PerTask || self.fault_links.contains_key(&tgid) {
            return Ok(());
        }
        let mut links = Vec::new();
        let mut seen = HashSet::new();
        let mut refused = None;
        for scan in 0..RESCANS {
            let fresh: Vec<u32> =
                process::threads(tgid).unwrap_or_default().into_iter().filter(|tid| seen.insert(*tid)).collect();
            if fresh.is_empty() {
                break;
            }
            for tid in fresh {
                match self.attach_faults(tid, inherited || scan > 0) {
                    Ok(more) => links.extend(more),
                    // A thread that ended meanwhile has nothing left to tell.
                    Err(e) => refused = Some(e.to_string()),
                }
            }
        }
        if links.is_empty()
            && let Some(why) = refused
        {
            return Err(why);
        }
        self.fault_links.insert(tgid, links);
        Ok(())
    }

    /// A process that is gone needs its events no longer.
    pub fn forget_faults(&mut self, tgid: u32) {
        self.fault_links.remove(&tgid);
    }

    /// The fault figures of a live target; `None` when faults are not tracked or it is gone.
    pub fn fault_figures(&mut self, tgid: u32) -> Result<Option<FaultStats>, KernelError> {
        found(map::FAULTS, self.fault_stats()?.get(&tgid, 0))
    }
}
