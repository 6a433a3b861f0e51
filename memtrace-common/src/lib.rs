//! The contract between memtrace's kernel and user sides: wire records, counters, start-up parameters, names.
//!
//! Rules of the wire: `repr(C)`, fixed-width integers and byte arrays only, no implicit padding (the `Pod` derive
//! refuses it), [`header::Header`] at offset 0, unknown is [`UNKNOWN`] and never 0, `comm` stays bytes until decode.
//! Both sides carry [`layout::DIGEST`]; the loader refuses an object whose digest differs.
#![no_std]

pub mod advice;
pub mod counters;
pub mod effect;
pub mod header;
pub mod host;
pub mod kind;
pub mod layout;
pub mod log2;
pub mod names;
pub mod params;
pub mod records;
pub mod refault;
pub mod sums;
pub mod target;
#[cfg(feature = "user")]
mod user;

/// "This kernel or this moment cannot say": decodes to `None`.
pub const UNKNOWN: u64 = u64::MAX;

/// Bytes of a task's name as the kernel keeps it (`TASK_COMM_LEN`), NUL padded.
pub const COMM_BYTES: usize = 16;
