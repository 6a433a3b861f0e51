//! What `memtrace goroutines` and `memtrace heap` show.
use crate::enrich::profiles::{GoroutineTotals, HeapTotals};
use crate::profile::Profile;

#[derive(Clone, Debug)]
pub struct ProfileReport {
    pub pid: u32,
    /// CLOCK_MONOTONIC.
    pub t_ns: u64,
    /// Nanoseconds since the epoch.
    pub taken_ns: i64,
    pub comm: Option<String>,
    pub exe: Option<String>,
    pub go_version: String,
    pub of: Profiled,
    /// Sorted. A difference, if `since` says so.
    pub profile: Profile,
    /// The file with the earlier profile.
    pub since: Option<String>,
    /// Rows of a table; the rest is summed up.
    pub top: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Profiled {
    Goroutines(GoroutineTotals),
    Heap(HeapTotals),
}

impl ProfileReport {
    /// What the reader should know before the figures.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        match &self.of {
            Profiled::Goroutines(totals) => {
                if totals.one_in > 1 {
                    let n = totals.one_in;
                    warnings.push(format!("estimates: one goroutine in {n} was looked at, and stands for {n}"));
                }
                if totals.unlisted > 0 {
                    warnings.push(format!("{} goroutines of too many kinds are in the totals only", totals.unlisted));
                }
                if totals.damaged > 0 {
                    warnings.push(format!("{} goroutines changed while they were read: left out", totals.damaged));
                }
            }
            Profiled::Heap(totals) if totals.left_out > 0 => {
                warnings.push(format!("{} allocation records are left out: too many stacks", totals.left_out));
            }
            Profiled::Heap(_) => {}
        }
        warnings
    }
}
