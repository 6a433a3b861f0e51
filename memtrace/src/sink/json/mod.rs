//! One JSON object a line. Absent knowledge is null, sizes are integers in bytes, times in ns on CLOCK_MONOTONIC.
mod account;
mod allocator;
mod explain;
mod memstats;
mod profile;
mod ps;
mod stat;
#[cfg(test)]
mod tests;
mod trace;
mod waterfall;

pub use explain::{EXPLAIN_SCHEMA, write_explain};
pub use profile::{GOROUTINES_SCHEMA, HEAP_SCHEMA, write_profile};
pub use ps::{PS_SCHEMA, write_ps};

use super::TraceLine;
use crate::account::Account;
use crate::snapshot::Snapshot;
use serde::Serialize;
use std::io::{self, Write};

/// Schema of [`write_stat`].
pub const STAT_SCHEMA: &str = "memtrace.stat/1";
/// Schema of [`write_trace`] and [`write_trace_account`].
pub const TRACE_SCHEMA: &str = "memtrace.trace/1";

/// One `memtrace.stat/1` line: an interval or the summary.
pub fn write_stat(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    write_line(out, &stat::StatJson::of(snapshot))
}

/// One `memtrace.trace/1` line; a sample is no event of the kernel and writes nothing.
pub fn write_trace(out: &mut impl Write, line: &TraceLine<'_>) -> io::Result<()> {
    match trace::TraceJson::of(line) {
        Some(json) => write_line(out, &json),
        None => Ok(()),
    }
}

/// The last `memtrace.trace/1` line.
pub fn write_trace_account(out: &mut impl Write, t_ns: u64, account: &Account) -> io::Result<()> {
    write_line(out, &trace::TraceAccountJson::of(t_ns, account))
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
