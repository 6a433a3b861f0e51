//! What `memtrace agent` may cost.
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// See [`ABOUT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub cpu_percent: u64,
    #[serde(with = "super::bytes")]
    pub max_rss_bytes: u64,
    pub max_open_files: u64,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    (
        "cpu_percent",
        "of memtrace agent, of one CPU: points come less often where they would take more (memtrace_samples_thinned_total)",
    ),
    (
        "max_rss_bytes",
        "of memtrace agent: histories of processes become shorter where it would take more, and that is said",
    ),
    ("max_open_files", "of memtrace agent; what does not fit is left out, and said"),
];

const CPU_PERCENT: RangeInclusive<u64> = 1..=100;
/// Its text and its tables alone take as much, and as much again where lives are told; and more than any machine has.
const RSS_BYTES: RangeInclusive<u64> = 16 << 20..=1 << 50;
/// The rings, the programs, the files of the agent itself.
const OPEN_FILES: RangeInclusive<u64> = 256..=1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self { cpu_percent: 5, max_rss_bytes: 256 << 20, max_open_files: 65536 }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        within("cpu_percent", self.cpu_percent, &CPU_PERCENT)?;
        within("max_rss_bytes", self.max_rss_bytes, &RSS_BYTES)?;
        within("max_open_files", self.max_open_files, &OPEN_FILES)
    }
}

/// What is wrong with a number that is out of its range.
pub(super) fn within<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    range: &RangeInclusive<T>,
) -> Result<(), (&'static str, String)> {
    if range.contains(&value) {
        return Ok(());
    }
    Err((key, format!("must be from {} to {}", range.start(), range.end())))
}
