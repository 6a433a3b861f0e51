//! The target set, seen from user space.
use super::{Kernel, KernelError, map_error};
use crate::procfs::process;
use aya::maps::{Array, HashMap, MapData, MapError};
use memtrace_common::host::Host;
use memtrace_common::names::map;
use memtrace_common::refault::{ChunkKey, FaultStats};
use memtrace_common::target::{KERNEL_IDS, Target, flags};
use std::collections::HashSet;

const BPF_ANY: u64 = 0;
const BPF_EXIST: u64 = 2;

impl Kernel {
    fn targets(&mut self) -> Result<HashMap<&mut MapData, u32, Target>, KernelError> {
        let map = self.ebpf.map_mut(map::TARGETS).ok_or(KernelError::Absent(map::TARGETS))?;
        HashMap::try_from(map).map_err(map_error(map::TARGETS))
    }

    /// Observes `tgid` from now on; returns its incarnation. Known already: changes it and keeps the incarnation.
    pub fn add_target(&mut self, tgid: u32, go_counters: u64, flags: u32) -> Result<u32, KernelError> {
        if let Some(known) = self.target(tgid)? {
            // The kernel adopted it before it was known who it is.
            if flags & flags::TOLD != 0 {
                self.end_sums(known.id)?;
            }
            self.set_target(tgid, &Target { go_counters, flags: with_threads(tgid, flags), mm: 0, ..known })?;
            return Ok(known.id);
        }
        let id = self.next_id;
        self.next_id = (self.next_id + 1) % KERNEL_IDS;
        if self.fault_hook != crate::host::plan::FaultHook::None {
            let blank = FaultStats { target: id, ..bytemuck::Zeroable::zeroed() };
            self.fault_stats()?.insert(tgid, blank, BPF_ANY).map_err(|e| self.full(map::FAULTS, e))?;
        }
        self.start_sums(id, flags)?;
        let target = Target { go_counters, mm: 0, id, flags: with_threads(tgid, flags) };
        self.targets()?.insert(tgid, target, BPF_ANY).map_err(|e| self.full(map::TARGETS, e))?;
        // A thread made in between was not seen by the probes: it is there now.
        self.set_target(tgid, &Target { flags: with_threads(tgid, target.flags), ..target })?;
        Ok(id)
    }

    fn full(&self, map: &'static str, error: MapError) -> KernelError {
        match &error {
            full if is_full(full) => KernelError::TargetsFull(self.sizes.targets),
            _ => KernelError::Map { map, source: error },
        }
    }

    pub fn target(&mut self, tgid: u32) -> Result<Option<Target>, KernelError> {
        found(map::TARGETS, self.targets()?.get(&tgid, 0))
    }

    /// Changes a target that is still there; a target that died meanwhile stays gone. `mm` must be written as 0: what was
    /// read may have been ended by an exec since.
    fn set_target(&mut self, tgid: u32, target: &Target) -> Result<(), KernelError> {
        match self.targets()?.insert(tgid, target, BPF_EXIST) {
            Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other.map_err(map_error(map::TARGETS)),
        }
    }

    /// Says where a target's Go counters are, if `id` is still the incarnation behind `tgid`.
    pub fn set_go_counters(&mut self, tgid: u32, id: u32, go_counters: u64, flags: u32) -> Result<(), KernelError> {
        match self.target(tgid)? {
            Some(target) if target.id == id => {
                self.set_target(tgid, &Target { go_counters, flags: with_threads(tgid, flags), ..target })
            }
            _ => Ok(()),
        }
    }

    /// Observes `tgid` no longer.
    pub fn remove_target(&mut self, tgid: u32) -> Result<(), KernelError> {
        self.fault_links.remove(&tgid);
        self.forget_fatal(tgid)?;
        self.drop_target(tgid)?;
        self.withdraw_words(tgid)?;
        ignore_absent(map::FAULTS, self.fault_stats()?.remove(&tgid))
    }

    /// Takes it out of the set; its figures stay.
    pub(super) fn drop_target(&mut self, tgid: u32) -> Result<(), KernelError> {
        ignore_absent(map::TARGETS, self.targets()?.remove(&tgid))
    }

    /// Tgids in the set.
    pub fn target_tgids(&mut self) -> Result<Vec<u32>, KernelError> {
        self.targets()?.keys().collect::<Result<_, _>>().map_err(map_error(map::TARGETS))
    }

    pub(super) fn fault_stats(&mut self) -> Result<HashMap<&mut MapData, u32, FaultStats>, KernelError> {
        let map = self.ebpf.map_mut(map::FAULTS).ok_or(KernelError::Absent(map::FAULTS))?;
        HashMap::try_from(map).map_err(map_error(map::FAULTS))
    }

    pub(super) fn host_map(&mut self) -> Result<Array<&mut MapData, Host>, KernelError> {
        let map = self.ebpf.map_mut(map::HOST).ok_or(KernelError::Absent(map::HOST))?;
        Array::try_from(map).map_err(map_error(map::HOST))
    }

    /// Targets that could not be added in the kernel because the set was full.
    pub fn targets_full(&mut self) -> Result<u64, KernelError> {
        Ok(self.host_map()?.get(&0, 0).map_err(map_error(map::HOST))?.targets_full)
    }

    /// Removes the marks of processes that are gone; returns how many chunks are left.
    pub fn sweep_chunks(&mut self) -> Result<usize, KernelError> {
        let mut live = HashSet::new();
        for tgid in self.target_tgids()? {
            if let Ok(stats) = self.fault_stats()?.get(&tgid, 0) {
                live.insert((stats.target, stats.epoch));
            }
        }
        let map = self.ebpf.map_mut(map::CHUNKS).ok_or(KernelError::Absent(map::CHUNKS))?;
        // Keys only: a value is 4 KiB.
        let mut chunks: HashMap<_, ChunkKey, [u64; 512]> = HashMap::try_from(map).map_err(map_error(map::CHUNKS))?;
        let keys: Vec<ChunkKey> = chunks.keys().filter_map(Result::ok).collect();
        let mut left = 0;
        for key in keys {
            if live.contains(&(key.target, key.epoch)) {
                left += 1;
            } else {
                ignore_absent(map::CHUNKS, chunks.remove(&key))?;
            }
        }
        Ok(left)
    }
}

/// The probes set THREADS when a thread is made; threads made before, or while this is written, are found here.
fn with_threads(tgid: u32, known: u32) -> u32 {
    let threads = process::threads(tgid).map_or(0, |t| t.len());
    if threads > 1 { known | flags::THREADS } else { known }
}

pub(super) fn is_full(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(e) if e.io_error.raw_os_error() == Some(libc::E2BIG))
}

pub(super) fn found<T>(map: &'static str, result: Result<T, MapError>) -> Result<Option<T>, KernelError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(e) => Err(map_error(map)(e)),
    }
}

pub(super) fn ignore_absent(map: &'static str, result: Result<(), MapError>) -> Result<(), KernelError> {
    match result {
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(MapError::KeyNotFound) => Ok(()),
        other => other.map_err(map_error(map)),
    }
}
