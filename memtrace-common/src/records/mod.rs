//! One wire record per family.
mod advise;
mod call;
mod fault;
mod map;
mod oom;
mod reclaim;
mod task;

pub use advise::AdviseRecord;
pub use call::{Call, GO_COUNTERS};
pub use fault::FaultRecord;
pub use map::{MapRecord, map_op};
pub use oom::{OomRecord, oom_op};
pub use reclaim::{ReclaimRecord, reclaim_op};
pub use task::{TaskRecord, task_op};
