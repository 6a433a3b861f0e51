//! Shapes of map memory that only the probes use.
use memtrace_common::refault::CHUNK_PAGES;

/// One mark per page of a chunk.
pub type Chunk = [u64; CHUNK_PAGES];

/// An mm's RSS counters, as read: four `struct percpu_counter`.
pub type Counters = [u64; 20];

/// Room that the stack does not have (512 bytes for a whole chain of calls); per CPU and thread, used within one program
/// run. Programs behind functions can be preempted: then one of [`ROOMS`] threads may find another's numbers here, which
/// the comparison with RSS finds out.
#[repr(C)]
pub struct Scratch {
    /// One page-table page of a chunk.
    pub entries: Chunk,
    pub counters: Counters,
    /// Words on their way past the verifier, see `shared::launder`.
    pub words: [u64; 4],
}

/// Rooms per CPU, by tid modulo this.
pub const ROOMS: u32 = 16;
