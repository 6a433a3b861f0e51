use super::GO_COUNTERS;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// Of the user stack at most.
pub const FATAL_FRAMES: usize = 64;
/// Of what it says at most.
pub const FATAL_TEXT_BYTES: usize = 256;

/// A Go runtime ends its process: the first time a thread of it enters a function that does. `header.target` is its
/// incarnation.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FatalRecord {
    pub header: Header,
    /// Valid with [`crate::header::flags::GO`].
    pub go: [u64; GO_COUNTERS],
    /// One of [`fatal_op`].
    pub op: u32,
    /// How much of `text` was copied.
    pub copied_bytes: u32,
    /// Of the string that says why (pointer and length): panic: in the value; [`crate::UNKNOWN`]: it is no string.
    pub string_address: u64,
    /// Where its bytes are, and how many; [`crate::UNKNOWN`].
    pub text_address: u64,
    pub text_bytes: u64,
    /// Where the function returns to; [`crate::UNKNOWN`]. Before 6.11 the stack lacks it.
    pub caller: u64,
    /// Bytes of `stack`; negative: -errno.
    pub stack_bytes: i64,
    /// Innermost first, from the function's own first instruction on.
    pub stack: [u64; FATAL_FRAMES],
    pub text: [u8; FATAL_TEXT_BYTES],
}

/// Meaning of [`FatalRecord::op`]: which function of Go's `runtime` was entered.
pub mod fatal_op {
    /// `throw`: the runtime finds itself broken, or out of memory.
    pub const THROW: u32 = 1;
    /// `fatal`: the program misused it.
    pub const FATAL: u32 = 2;
    /// `fatalpanic`: a panic that nobody recovered.
    pub const PANIC: u32 = 3;
}
