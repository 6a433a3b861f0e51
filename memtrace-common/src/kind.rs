//! Record kinds: integers on the wire, checked by the decoder.
pub const ADVISE: u16 = 1;
pub const MAP: u16 = 2;
/// The final figures of a target; the faults themselves are aggregated in the kernel.
pub const FAULT: u16 = 3;
pub const OOM: u16 = 4;
pub const RECLAIM: u16 = 5;
pub const TASK: u16 = 6;
