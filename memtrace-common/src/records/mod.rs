//! One wire record per family.
mod advise;
mod call;
mod fatal;
mod fault;
mod map;
mod oom;
mod reclaim;
mod task;
pub mod walk;
mod words;

pub use advise::AdviseRecord;
pub use call::{Call, GO_COUNTERS};
pub use fatal::{FATAL_FRAMES, FATAL_TEXT_BYTES, FatalRecord, fatal_op};
pub use fault::FaultRecord;
pub use map::{MAP_FIXED, MapRecord, map_op};
pub use oom::{OomRecord, oom_op};
pub use reclaim::{ReclaimRecord, reclaim_op};
pub use task::{TaskRecord, task_op};
pub use walk::{BucketsRecord, GoroutineItem, GoroutinesRecord, WalkEndRecord, WalkPlan, WalkState};
pub use words::{WORD_BYTES, WORD_RANGE_BYTES, WORD_RANGES, WORD_STARTS, WordPlan, WordRange, WordsRecord};
