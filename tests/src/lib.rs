//! The harness of the suites that need a live kernel: the real `memtrace` binary, processes of known behaviour, and
//! assertions that print every number they are about.
//!
//! Black box on purpose: nothing of memtrace is linked in here. Only the suites of `memtrace::goruntime`, and `words`,
//! use it, as a library.
mod account;
mod bpf;
mod charged;
mod child;
mod deaths;
mod elf;
pub mod engines;
mod expect;
mod explained;
mod fatal;
mod flood;
mod khugepaged;
mod limit;
pub mod matrix;
mod measured;
mod memcg;
mod memtrace;
mod orders;
mod pages;
pub mod patterns;
mod procfs;
mod said;
mod service;
mod serving;
mod shown;
mod skipped;
mod summed;
mod tiny;
mod told;
mod truth;
mod wait;
mod walked;
mod words;

pub use account::assert_account;
pub use bpf::{BpfObjects, bpf_objects, bpf_programs};
pub use charged::Charged;
pub use child::Child;
pub use deaths::{MIB, column, dossiers, go_victim_is_told, group_kill_is_told, saved_dossiers};
pub use elf::{stripped, without_sections};
pub use expect::{assert_json, differences};
pub use explained::Explained;
pub use fatal::ended_by_their_runtimes;
pub use flood::{FLOOD_CALLS, flood, flood_accounted_for};
pub use khugepaged::Khugepaged;
pub use limit::{LIMIT, killed_at_limit};
pub use measured::Measured;
pub use memcg::MemoryCgroup;
pub use memtrace::{Ended, Memtrace, Processes, monotonic_ns};
pub use orders::obey;
pub use pages::{BASE, CHUNK, PAGE, Pages};
pub use procfs::{
    comm, descendants, open_files, open_files_limits, present_pages, process_state, resident_pages, rollup, rss_bytes,
    status_bytes,
};
pub use said::{
    assert_said, last_words, observed, observed_until_the_end, oom_killed_because_of, oom_killed_by_itself, quiet_truth,
};
pub use service::{Service, free_ports, service_binary};
pub use serving::Serving;
pub use shown::{SAID, assert_shown};
pub use skipped::unless_skipped;
pub use summed::sums_are_those_of_the_calls;
pub use tiny::Tiny;
pub use told::{outgrow, pressure_is_told};
pub use truth::{Truth, truth_binary};
pub use wait::{Deadline, Stops, wait_until};
pub use walked::{many, profiled, walked_as_read};
pub use words::{Words, differences_of_last_words};
