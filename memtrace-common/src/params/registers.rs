use bytemuck::{Pod, Zeroable};

/// Where `struct pt_regs` keeps what is asked for, from BTF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct RegisterOffsets {
    /// A system call's first four arguments.
    pub argument0: u32,
    pub argument1: u32,
    pub argument2: u32,
    pub argument3: u32,
    /// The first two words that a Go function is given.
    pub go_argument0: u32,
    pub go_argument1: u32,
    /// At the entry of a function: where its return address lies (x86-64), and what it is (arm64).
    pub stack_pointer: u32,
    pub link: u32,
}
