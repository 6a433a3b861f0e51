//! Text for a tired human: at most 100 columns for `stat`, exact 0 as `0`, unknown as `-`, approximate with `~`.
mod account;
mod allocator;
mod cgroup;
mod explain;
mod interval;
mod profile;
mod ps;
mod style;
mod summary;
mod table;
#[cfg(test)]
mod tests;
mod told;
mod trace;
mod units;
mod waterfall;

pub use account::write_account;
pub use cgroup::write_cgroup;
pub use explain::write_explain;
pub use interval::IntervalText;
pub use profile::write_profile;
pub use ps::write_ps;
pub use style::Style;
pub use summary::write_summary;
pub(super) use table::broken;
pub(super) use told::{stalls, told};
pub use trace::TraceText;
pub(super) use units::{clean, clean_path, duration, maybe, percent, size};
