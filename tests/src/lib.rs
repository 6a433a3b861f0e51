//! The harness of the suites that need a live kernel: the real `memtrace` binary, processes of known behaviour, and
//! assertions that print every number they are about.
//!
//! Black box on purpose: nothing of memtrace is linked in here. Only the suites of `memtrace::goruntime` use it, as a
//! library.
mod account;
mod bpf;
mod child;
mod elf;
mod expect;
mod explained;
mod khugepaged;
mod limit;
pub mod matrix;
mod measured;
mod memcg;
mod memtrace;
mod orders;
mod pages;
mod procfs;
mod truth;
mod wait;

pub use account::assert_account;
pub use bpf::{BpfObjects, bpf_programs};
pub use child::Child;
pub use elf::{stripped, without_sections};
pub use expect::{assert_json, differences};
pub use explained::Explained;
pub use khugepaged::Khugepaged;
pub use limit::{LIMIT, killed_at_limit};
pub use measured::Measured;
pub use memcg::MemoryCgroup;
pub use memtrace::{Ended, Memtrace, Processes, monotonic_ns};
pub use orders::obey;
pub use pages::{BASE, CHUNK, PAGE, Pages};
pub use procfs::{comm, open_files, present_pages, resident_pages, rollup, rss_bytes, status_bytes};
pub use truth::{Truth, truth_binary};
pub use wait::{Deadline, wait_until};
