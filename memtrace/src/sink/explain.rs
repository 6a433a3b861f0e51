use crate::aggregate::waterfall::{UNKNOWN_LIMIT, Waterfall};
use crate::cgroup::Account;
use crate::goruntime::mheap::Allocator;
use crate::goruntime::{GoBuild, Sample};

/// What `memtrace explain` found out about one process.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub pid: u32,
    pub t_ns: u64,
    pub comm: Option<String>,
    pub exe: Option<String>,
    pub waterfall: Waterfall,
    /// RSS as /proc/PID/status counts it, before and after the look.
    pub status_rss_bytes: [Option<u64>; 2],
    /// RSS of smaps, read between the two.
    pub smaps_rss_bytes: u64,
    pub go: Option<GoBuild>,
    /// `None`: see `runtime_not_read`.
    pub sample: Option<Sample>,
    pub allocator: Option<Allocator>,
    /// Why the Go heap is not divided; `None`: it is.
    pub runtime_not_read: Option<String>,
    pub cgroup: Option<Account>,
    /// Zero pages may be counted: this user sees no frames on this kernel.
    pub counts_zero_pages: bool,
}

impl Explanation {
    /// How far RSS moved while it was looked at, as far as the readings tell.
    pub fn moved_bytes(&self) -> u64 {
        let readings = [self.status_rss_bytes[0], self.status_rss_bytes[1]];
        let status = match readings {
            [Some(before), Some(after)] => before.abs_diff(after),
            _ => 0,
        };
        status.max(self.smaps_rss_bytes.abs_diff(self.waterfall.rss_bytes))
    }

    /// What the reader should know before the figures.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let fall = &self.waterfall;
        if !fall.is_mostly_known() {
            let share = 100.0 * fall.share(fall.unknown_bytes);
            warnings.push(format!("{share:.1} % of RSS is unknown, more than {:.0} %", 100.0 * UNKNOWN_LIMIT));
        }
        warnings.extend(self.runtime_not_read.as_ref().map(|why| format!("the Go heap is not divided: {why}")));
        if self.counts_zero_pages {
            warnings.push("zero pages may be counted: that takes CAP_SYS_ADMIN before Linux 6.7".to_owned());
        }
        warnings
    }
}
