//! Shapes of map memory that only the probes use.
use memtrace_common::refault::CHUNK_PAGES;

/// One mark per page of a chunk.
pub type Chunk = [u64; CHUNK_PAGES];

/// Room that the stack does not have (512 bytes for a whole chain of calls); per CPU, used within one program run.
#[repr(C)]
pub struct Scratch {
    /// One page-table page of a chunk.
    pub entries: Chunk,
    /// An mm's RSS counters: four `struct percpu_counter`.
    pub counters: [u64; 20],
    /// Words on their way past the verifier, see `shared::launder`.
    pub words: [u64; 4],
}
