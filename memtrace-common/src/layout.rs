//! Sizes of everything that crosses the boundary, asserted at compile time and folded into one digest that the object
//! carries and the loader compares.
use crate::counters::ProgramCounters;
use crate::header::Header;
use crate::host::Host;
use crate::params::Params;
use crate::records::*;
use crate::refault::{ChunkKey, FaultStats};
use crate::sums::{CallSums, Sums};
use crate::target::Target;
use core::mem::{offset_of, size_of};

/// Bumped when the meaning of a field changes without its place.
pub const ABI_VERSION: u64 = 3;

/// Name of the global that carries [`DIGEST`] in the object.
pub const GLOBAL: &str = "LAYOUT_DIGEST";

/// Every size and the telling offsets, in this order; see `tests/layout.rs` for the blessed text.
pub const LAYOUT: &[(&str, usize)] = &[
    ("Header", size_of::<Header>()),
    ("Header.kind", offset_of!(Header, kind)),
    ("Header.size", offset_of!(Header, size)),
    ("Call", size_of::<Call>()),
    ("Call.go", offset_of!(Call, go)),
    ("Call.stack_id", offset_of!(Call, stack_id)),
    ("AdviseRecord", size_of::<AdviseRecord>()),
    ("AdviseRecord.advice", offset_of!(AdviseRecord, advice)),
    ("MapRecord", size_of::<MapRecord>()),
    ("MapRecord.op", offset_of!(MapRecord, op)),
    ("FaultRecord", size_of::<FaultRecord>()),
    ("OomRecord", size_of::<OomRecord>()),
    ("OomRecord.go", offset_of!(OomRecord, go)),
    ("ReclaimRecord", size_of::<ReclaimRecord>()),
    ("TaskRecord", size_of::<TaskRecord>()),
    ("TaskRecord.comm", offset_of!(TaskRecord, comm)),
    ("WordsRecord", size_of::<WordsRecord>()),
    ("WordsRecord.plan", offset_of!(WordsRecord, plan)),
    ("WordsRecord.bytes", offset_of!(WordsRecord, bytes)),
    ("FatalRecord", size_of::<FatalRecord>()),
    ("FatalRecord.stack", offset_of!(FatalRecord, stack)),
    ("WalkPlan", size_of::<WalkPlan>()),
    ("WalkPlan.state", offset_of!(WalkPlan, state)),
    ("BucketsRecord", size_of::<BucketsRecord>()),
    ("GoroutinesRecord", size_of::<GoroutinesRecord>()),
    ("GoroutinesRecord.pointers", offset_of!(GoroutinesRecord, pointers)),
    ("WalkEndRecord", size_of::<WalkEndRecord>()),
    ("ProgramCounters", size_of::<ProgramCounters>()),
    ("FaultStats", size_of::<FaultStats>()),
    ("FaultStats.log2_ns", offset_of!(FaultStats, log2_ns)),
    ("ChunkKey", size_of::<ChunkKey>()),
    ("Sums", size_of::<Sums>()),
    ("Sums.munmap", offset_of!(Sums, munmap)),
    ("CallSums.log2_ns", offset_of!(CallSums, log2_ns)),
    ("Target", size_of::<Target>()),
    ("Host", size_of::<Host>()),
    ("Params", size_of::<Params>()),
    ("Params.mm", offset_of!(Params, mm)),
    ("Params.cgroup", offset_of!(Params, cgroup)),
    ("Params.trace", offset_of!(Params, trace)),
    ("Params.switches", offset_of!(Params, switches)),
];

/// FNV-1a over [`ABI_VERSION`] and [`LAYOUT`].
pub const DIGEST: u64 = {
    let mut hash = fnv(0xcbf2_9ce4_8422_2325, ABI_VERSION);
    let mut i = 0;
    while i < LAYOUT.len() {
        let name = LAYOUT[i].0.as_bytes();
        let mut j = 0;
        while j < name.len() {
            hash = fnv(hash, name[j] as u64);
            j += 1;
        }
        hash = fnv(hash, LAYOUT[i].1 as u64);
        i += 1;
    }
    hash
};

const fn fnv(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x0100_0000_01b3)
}

const _: () = {
    let records = [
        size_of::<AdviseRecord>(),
        size_of::<MapRecord>(),
        size_of::<FaultRecord>(),
        size_of::<OomRecord>(),
        size_of::<ReclaimRecord>(),
        size_of::<TaskRecord>(),
        size_of::<WordsRecord>(),
        size_of::<FatalRecord>(),
        size_of::<BucketsRecord>(),
        size_of::<GoroutinesRecord>(),
        size_of::<WalkEndRecord>(),
    ];
    let mut i = 0;
    while i < records.len() {
        assert!(records[i].is_multiple_of(8), "the ring wants multiples of 8");
        i += 1;
    }
};
