//! The kernel side of memtrace. Compiles for the host too, so that its pure logic has ordinary unit tests.
#![cfg_attr(target_arch = "bpf", no_std)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "the BPF target has no stable atomic add"))]

pub mod pagetable;
pub mod range;

#[cfg(all(test, not(target_arch = "bpf")))]
mod fake;
#[cfg(all(test, not(target_arch = "bpf")))]
use fake::{kread, maps, shared};

#[cfg(target_arch = "bpf")]
pub mod counters;
#[cfg(target_arch = "bpf")]
pub mod emit;
#[cfg(target_arch = "bpf")]
pub mod ids;
#[cfg(target_arch = "bpf")]
pub mod inflight;
#[cfg(target_arch = "bpf")]
pub mod kread;
#[cfg(target_arch = "bpf")]
pub mod maps;
#[cfg(any(test, target_arch = "bpf"))]
pub mod marks;
#[cfg(any(test, target_arch = "bpf"))]
pub mod params;
#[cfg(target_arch = "bpf")]
pub mod probes;
#[cfg(target_arch = "bpf")]
pub mod rss;
#[cfg(any(test, target_arch = "bpf"))]
pub mod scratch;
#[cfg(target_arch = "bpf")]
pub mod shared;
#[cfg(any(test, target_arch = "bpf"))]
pub mod strides;
#[cfg(target_arch = "bpf")]
pub mod syscall;
#[cfg(any(test, target_arch = "bpf"))]
pub mod tables;
#[cfg(target_arch = "bpf")]
pub mod target;
#[cfg(target_arch = "bpf")]
pub mod task;
