//! Snapshots and events to output. Each sink owns its output types and their schema version.
pub(crate) mod background;
mod cgroup;
pub mod doctor;
mod explain;
pub mod folded;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod happened;
pub mod http;
pub mod json;
pub mod metrics;
pub mod oom;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod pprof;
mod profile;
mod ps;
#[cfg(feature = "record")]
pub mod recording;
pub mod spill;
pub mod text;
mod trace;
#[cfg(any(feature = "otlp", feature = "upload"))]
mod trust;

pub use cgroup::{CgroupReport, GoMember, MemberRow};
pub use explain::Explanation;
pub use profile::{ProfileReport, Profiled};
pub use ps::{GoList, GoRow};
pub use trace::{Frame, TraceLine};
