//! The object into the kernel: maps sized, parameters set, nothing attached yet.
use super::{Calibration, Kernel, KernelError};
use crate::host::plan::{FaultHook, Plan};
use aya::{EbpfLoader, VerifierLogLevel};
use memtrace_common::layout;
use memtrace_common::names::map;
use memtrace_common::params::{self, Params};
use memtrace_common::target::SELF_TEST;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::HashMap;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memtrace-ebpf"));

/// aya-log's global; 0 prunes the probes' log statements at load.
const LOG_LEVEL: &str = "AYA_LOG_LEVEL";

/// Different user stacks held at once; about 1 KiB of kernel memory each.
const STACKS: u32 = 16384;

/// Go programs whose last state is copied at most; about 600 bytes of kernel memory each.
const WORD_PLANS: u32 = 4096;

/// Processes whose calls are summed at most; about 2 KiB of kernel memory each.
const SUMS: u32 = 2048;

/// The ring of rare records; half of the larger one is for what is walked of the dying: all of the largest
/// of them (tests/tests/walk.rs), or some five processes at once.
const RING_BYTES: u32 = 1 << 20;
const WALK_RING_BYTES: u32 = 8 << 20;

/// Sizes of the kernel's tables: all memory there is bounded by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Main ring, bytes; a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Processes observed at once.
    pub targets: u32,
    /// Chunks of 512 pages whose returned pages are followed.
    pub chunks: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { ring_bytes: 4 << 20, targets: 16384, chunks: 4096 }
    }
}

/// Loads the maps (`kernel`: major and minor version); programs are loaded one by one when they are attached.
pub fn load(
    params: &Params,
    sizes: Sizes,
    plan: &Plan,
    kernel: (u32, u32),
    probe_log: bool,
) -> Result<Kernel, KernelError> {
    let object = digest_in(OBJECT).ok_or(KernelError::Absent(layout::GLOBAL))?;
    if object != layout::DIGEST {
        return Err(KernelError::Layout { object, ours: layout::DIGEST });
    }
    let faults = plan.fault_hook != FaultHook::None;
    let walks = plan.probe("sig_walk").is_some_and(|probe| probe.attach());
    let log_level = if probe_log { log::Level::Debug as u8 } else { 0 };
    let ebpf = EbpfLoader::new()
        .override_global(LOG_LEVEL, &log_level, false)
        .override_global(params::GLOBAL, params, true)
        .map_max_entries(map::EVENTS, sizes.ring_bytes)
        .map_max_entries(map::TARGETS, sizes.targets)
        .map_max_entries(map::FAULTS, if faults { sizes.targets } else { 1 })
        .map_max_entries(map::CHUNKS, if faults { sizes.chunks } else { 1 })
        .map_max_entries(map::SUMS, if params.switches.sums == 1 { sizes.targets.min(SUMS) } else { 1 })
        .map_max_entries(map::WORD_PLANS, sizes.targets.min(WORD_PLANS))
        .map_max_entries(map::WORDS_DUE, sizes.targets.min(WORD_PLANS))
        .map_max_entries(map::FATAL_DUE, sizes.targets)
        .map_max_entries(map::URGENT, if walks { WALK_RING_BYTES } else { RING_BYTES })
        .map_max_entries(map::WALK_PLANS, if walks { sizes.targets.min(WORD_PLANS) } else { 1 })
        .map_max_entries(map::WALKS_DUE, if walks { sizes.targets.min(WORD_PLANS) } else { 1 })
        .map_max_entries(map::STACKS, if params.switches.stacks == 1 { STACKS } else { 1 })
        // The last words of a refusal, not every state on the way there: before 6.4 the kernel needs minutes and the
        // loader a dozen tries to get that into a buffer.
        .verifier_log_level(VerifierLogLevel::STATS)
        .load(OBJECT)?;
    Ok(Kernel {
        ebpf,
        links: HashMap::new(),
        fault_links: HashMap::new(),
        fault_hook: plan.fault_hook,
        sums_calls: params.switches.sums == 1,
        hears_fatal: false,
        fatal_files: Vec::new(),
        leaving: Vec::new(),
        fetching_atomics: kernel >= (5, 12),
        probe_log,
        next_id: SELF_TEST,
        btf: None,
        walks,
        words_full: 0,
        sizes,
        calibration: Calibration::default(),
    })
}

/// The layout digest the object was built with.
fn digest_in(object: &[u8]) -> Option<u64> {
    let file = object::File::parse(object).ok()?;
    let symbol = file.symbols().find(|s| s.name() == Ok(layout::GLOBAL))?;
    let section = file.section_by_index(symbol.section_index()?).ok()?;
    let at = usize::try_from(symbol.address() - section.address()).ok()?;
    let bytes = section.data().ok()?.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_object_carries_our_layout() {
        assert_eq!(super::digest_in(super::OBJECT), Some(memtrace_common::layout::DIGEST));
    }
}
