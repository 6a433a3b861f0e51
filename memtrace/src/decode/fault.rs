use super::Decoder;
use crate::event::{ProcessSample, Refaults};
use memtrace_common::records::FaultRecord;
use memtrace_common::refault::FaultStats;
use memtrace_common::target::KERNEL_IDS;

/// The final figures of a target come as one more sample of it.
pub(super) fn decode_fault(decoder: &Decoder, record: &FaultRecord) -> ProcessSample {
    ProcessSample {
        target: record.header.target,
        t_ns: record.header.t_ns,
        faults: faults(&record.stats),
        refaults: Some(decoder.refaults(&record.stats)),
        ..ProcessSample::default()
    }
}

/// How many faults were seen. A process adopted in the kernel is watched only from user space's look at it on; none at
/// all means that it never was, since every process faults.
pub fn faults(stats: &FaultStats) -> Option<u64> {
    let adopted = stats.target >= KERNEL_IDS;
    if adopted && stats.faults == 0 { None } else { Some(stats.faults) }
}

impl Decoder {
    /// The kernel's fault figures of one target, in bytes.
    pub fn refaults(&self, stats: &FaultStats) -> Refaults {
        Refaults {
            bytes: stats.refaulted_pages.map(|pages| self.bytes(pages)),
            log2_ns: stats.log2_ns,
            max_ns: stats.max_ns,
            untracked_bytes: self.bytes(stats.untracked_pages),
        }
    }
}
