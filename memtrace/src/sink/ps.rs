//! What `memtrace ps` shows.
use crate::goruntime::{GoBuild, ReadBy};

#[derive(Clone, Debug, Default)]
pub struct GoList {
    pub rows: Vec<GoRow>,
    /// Processes this user may not look at.
    pub not_permitted: u64,
}

/// One Go process. `None`: not known.
#[derive(Clone, Debug, Default)]
pub struct GoRow {
    pub pid: u32,
    pub comm: Option<String>,
    pub exe: Option<String>,
    /// Directory of its memory cgroup.
    pub cgroup_path: Option<String>,
    /// The lowest limit from there upwards; `None`: none.
    pub limit_bytes: Option<u64>,
    pub build: Option<GoBuild>,
    pub read_by: Option<ReadBy>,
    /// Why its runtime is not read.
    pub refused: Option<String>,
    pub rss_bytes: Option<u64>,
    pub heap_inuse_bytes: Option<u64>,
    /// HeapIdle less HeapReleased.
    pub retained_idle_bytes: Option<u64>,
    /// HeapReleased, yet in RSS.
    pub released_resident_bytes: Option<u64>,
    /// `None`: no limit, or not read.
    pub gomemlimit_bytes: Option<u64>,
    /// `None`: off, or not read.
    pub gogc_percent: Option<u32>,
}
