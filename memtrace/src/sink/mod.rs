//! Snapshots and events to output. Each sink owns its output types and their schema version.
pub mod doctor;
mod explain;
pub mod folded;
pub mod json;
pub mod pprof;
mod profile;
mod ps;
pub mod text;
mod trace;

pub use explain::Explanation;
pub use profile::{ProfileReport, Profiled};
pub use ps::{GoList, GoRow};
pub use trace::{Frame, TraceLine};
