//! What stands for a target where there is none: in unit tests, and for the fuzzer.
pub(crate) mod elf;
pub(crate) mod memory;
