use super::Decoder;
use crate::event::{ProcessSample, Refaults};
use memtrace_common::records::FaultRecord;
use memtrace_common::refault::FaultStats;

/// The final figures of a target come as one more sample of it.
pub(super) fn decode_fault(decoder: &Decoder, record: &FaultRecord) -> ProcessSample {
    ProcessSample {
        target: record.header.target,
        t_ns: record.header.t_ns,
        faults: Some(record.stats.faults),
        refaults: Some(decoder.refaults(&record.stats)),
        ..ProcessSample::default()
    }
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
