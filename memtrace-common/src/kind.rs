//! Record kinds: integers on the wire, checked by the decoder.
pub const ADVISE: u16 = 1;
pub const MAP: u16 = 2;
/// The final figures of a target; the faults themselves are aggregated in the kernel.
pub const FAULT: u16 = 3;
pub const OOM: u16 = 4;
pub const RECLAIM: u16 = 5;
pub const TASK: u16 = 6;
/// The last state of a process that is killed.
pub const WORDS: u16 = 7;
/// No record of the probes: user space is told of it by the files of cgroups and of the host.
pub const PRESSURE: u16 = 8;
/// A Go runtime ends its process.
pub const FATAL: u16 = 9;
/// Parts of a walk through its memory, and how far that came.
pub const BUCKETS: u16 = 10;
pub const GOROUTINES: u16 = 11;
pub const WALK_END: u16 = 12;
