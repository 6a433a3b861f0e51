//! One JSON object a line. Absent knowledge is null, sizes are integers in bytes, times in ns on CLOCK_MONOTONIC.
mod account;
mod allocator;
mod cgroup;
mod controller;
mod explain;
mod living;
mod memstats;
mod present;
pub(super) mod pressure;
mod profile;
mod ps;
mod stat;
#[cfg(test)]
mod tests;
mod told;
mod trace;
mod waterfall;

pub use cgroup::{CGROUP_SCHEMA, write_cgroup};
pub(super) use controller::controller_json;
pub use explain::{EXPLAIN_SCHEMA, write_explain};
pub use profile::{GOROUTINES_SCHEMA, HEAP_SCHEMA, write_profile};
pub use ps::{PS_SCHEMA, write_ps};
pub(super) use told::pressure_detail;

use super::TraceLine;
use crate::account::Account;
use crate::dossier::{Dossier, Present};
use crate::snapshot::Snapshot;
use serde::Serialize;
use std::io::{self, Write};
use std::net::SocketAddr;

/// Schema of [`write_stat`].
pub const STAT_SCHEMA: &str = "memtrace.stat/1";
/// Schema of [`write_trace`] and [`write_trace_account`].
pub const TRACE_SCHEMA: &str = "memtrace.trace/1";

/// Schema of [`write_processes`].
pub const PROCESSES_SCHEMA: &str = "memtrace.processes/1";

/// Schema of [`write_living`].
pub const PROCESS_SCHEMA: &str = "memtrace.process/1";

/// One `memtrace.process/1` line: a process that lives.
pub fn write_living(out: &mut impl Write, of: &Dossier) -> io::Result<()> {
    living::write(out, of)
}

/// One `memtrace.processes/1` line.
pub fn write_processes(out: &mut impl Write, present: &Present) -> io::Result<()> {
    write_line(out, &present::ProcessesJson::of(present))
}

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
    write_line(out, &account::LastLine::of(TRACE_SCHEMA, t_ns, account))
}

/// The first line of `memtrace.oom/1`: from here on a death is seen.
pub fn write_oom_start(
    out: &mut impl Write,
    t_ns: u64,
    processes: usize,
    directory: Option<&str>,
    listen: Option<SocketAddr>,
) -> io::Result<()> {
    let schema = super::oom::OOM_SCHEMA;
    write_line(out, &account::FirstLine { schema, kind: "start", t_ns, processes, directory, listen })
}

/// The last line of `memtrace.oom/1`.
pub fn write_oom_account(out: &mut impl Write, t_ns: u64, account: &Account) -> io::Result<()> {
    write_line(out, &account::LastLine::of(super::oom::OOM_SCHEMA, t_ns, account))
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
