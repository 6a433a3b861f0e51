use super::Call;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// mmap, munmap, mremap, brk.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct MapRecord {
    pub header: Header,
    /// mmap: address is the result's when it succeeded, else the hint. brk: address is the asked break, length 0.
    pub call: Call,
    /// mremap: the new length. brk: the break before the call (0: unknown).
    pub new_length: u64,
    /// One of [`map_op`].
    pub op: u32,
    /// mmap only.
    pub prot: u32,
    /// mmap and mremap.
    pub map_flags: u32,
    pub pad: u32,
}

/// In [`MapRecord::map_flags`], of every architecture: maps over what is there. Without it nothing is unmapped.
pub const MAP_FIXED: u32 = 0x10;

/// Meaning of [`MapRecord::op`].
pub mod map_op {
    pub const MMAP: u32 = 1;
    pub const MUNMAP: u32 = 2;
    pub const MREMAP: u32 = 3;
    pub const BRK: u32 = 4;
}
