//! One file per family: read, filter, emit.
pub mod advise;
pub mod calibrate;
pub mod call;
pub mod exact;
pub mod fatal;
pub mod fault;
pub mod map;
pub mod oom;
pub mod reclaim;
pub mod sum;
pub mod task;
pub mod walk;
pub mod words;
