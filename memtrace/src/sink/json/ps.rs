//! `memtrace.ps/1`: one object.
use crate::sink::{GoList, GoRow};
use serde::Serialize;
use std::io::{self, Write};

/// Fields are added freely; renaming or dropping one takes a new number.
pub const PS_SCHEMA: &str = "memtrace.ps/1";

#[derive(Serialize)]
struct Ps<'a> {
    schema: &'static str,
    /// By RSS, largest first.
    processes: Vec<Process<'a>>,
    /// Processes this user may not look at.
    not_permitted: u64,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    go_version: Option<&'a str>,
    build: Option<Build>,
    read_by: Option<&'static str>,
    refused: Option<&'a str>,
    rss_bytes: Option<u64>,
    heap_inuse_bytes: Option<u64>,
    retained_idle_bytes: Option<u64>,
    released_resident_bytes: Option<u64>,
    cgroup_path: Option<&'a str>,
    limit_bytes: Option<u64>,
    gomemlimit_bytes: Option<u64>,
    gogc_percent: Option<u32>,
}

#[derive(Serialize)]
struct Build {
    stripped: bool,
    pie: bool,
    cgo: Option<bool>,
}

fn process(row: &GoRow) -> Process<'_> {
    let build = row.build.as_ref();
    Process {
        pid: row.pid,
        comm: row.comm.as_deref(),
        exe: row.exe.as_deref(),
        go_version: build.map(|build| build.version.as_str()),
        build: build.map(|build| Build { stripped: build.stripped, pie: build.pie, cgo: build.cgo }),
        read_by: row.read_by.map(|by| by.as_str()),
        refused: row.refused.as_deref(),
        rss_bytes: row.rss_bytes,
        heap_inuse_bytes: row.heap_inuse_bytes,
        retained_idle_bytes: row.retained_idle_bytes,
        released_resident_bytes: row.released_resident_bytes,
        cgroup_path: row.cgroup_path.as_deref(),
        limit_bytes: row.limit_bytes,
        gomemlimit_bytes: row.gomemlimit_bytes,
        gogc_percent: row.gogc_percent,
    }
}

/// One object on one line.
pub fn write_ps(out: &mut dyn Write, list: &GoList) -> io::Result<()> {
    let processes = list.rows.iter().map(process).collect();
    serde_json::to_writer(&mut *out, &Ps { schema: PS_SCHEMA, processes, not_permitted: list.not_permitted })?;
    writeln!(out)
}
