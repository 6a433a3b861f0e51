//! The wire layout, blessed: a change here is a change of the contract, and wants a new `ABI_VERSION` when the meaning of
//! a place changes. The loader compares the digest of the object with ours.
use memtrace_common::layout::LAYOUT;

const BLESSED: &str = "\
Header 32
Header.kind 22
Header.size 28
Call 120
Call.go 64
Call.stack_id 112
AdviseRecord 160
AdviseRecord.advice 152
MapRecord 176
MapRecord.op 160
FaultRecord 496
OomRecord 152
OomRecord.go 104
ReclaimRecord 120
TaskRecord 144
TaskRecord.comm 80
WordsRecord 13528
WordsRecord.plan 80
WordsRecord.bytes 1240
FatalRecord 896
FatalRecord.stack 128
WalkPlan 200
WalkPlan.state 96
BucketsRecord 12336
GoroutinesRecord 5800
GoroutinesRecord.pointers 5160
WalkEndRecord 136
ProgramCounters 48
FaultStats 464
FaultStats.log2_ns 56
ChunkKey 16
Sums 1968
Sums.munmap 1560
CallSums.log2_ns 120
Target 24
Host 48
Params 296
Params.mm 88
Params.cgroup 152
Params.trace 176
Params.switches 260
";

#[test]
fn the_layout_is_the_blessed_one() {
    let text: String = LAYOUT.iter().map(|(name, value)| format!("{name} {value}\n")).collect();
    assert_eq!(text, BLESSED, "if this is meant, bless the left side");
}
