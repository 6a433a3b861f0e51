//! `memtrace.explain/1`: one object.
use super::allocator::AllocatorJson;
use super::controller::ControllerJson;
use super::memstats::MemStats;
use super::waterfall::AnonymousJson;
use crate::aggregate::waterfall::Bucket;
use crate::sink::Explanation;
use serde::Serialize;
use std::io::{self, Write};

/// Fields are added freely; renaming or dropping one takes a new number.
pub const EXPLAIN_SCHEMA: &str = "memtrace.explain/1";

#[derive(Serialize)]
struct Explain<'a> {
    schema: &'static str,
    pid: u32,
    t_ns: u64,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    go: Option<Go<'a>>,
    /// The sum of the buckets and `unknown_bytes`.
    rss_bytes: u64,
    rss_smaps_bytes: u64,
    rss_status_before_bytes: Option<u64>,
    rss_status_after_bytes: Option<u64>,
    /// How far RSS moved meanwhile: no bucket is better known.
    uncertainty_bytes: u64,
    swapped_bytes: u64,
    buckets: Vec<BucketJson<'a>>,
    unknown_bytes: u64,
    /// The largest of the bucket `other_anonymous`.
    anonymous: Vec<AnonymousJson<'a>>,
    warnings: Vec<String>,
    /// Null: the runtime is not read, see `refused`.
    memstats: Option<MemStats<'a>>,
    /// What MemStats does not say of the allocator; null as `memstats`.
    allocator: Option<AllocatorJson>,
    refused: Option<&'a str>,
    cgroup: Option<ControllerJson<'a>>,
}

#[derive(Serialize)]
struct Go<'a> {
    version: &'a str,
    stripped: bool,
    pie: bool,
    cgo: Option<bool>,
}

#[derive(Serialize)]
struct BucketJson<'a> {
    name: &'a str,
    bytes: u64,
    share: f64,
    evidence: &'a str,
    /// `go`, `kernel`, `both`; null: nobody.
    reclaimable_by: Option<&'static str>,
    advice: Option<&'a str>,
}

fn bucket<'a>(explanation: &Explanation, bucket: &'a Bucket) -> BucketJson<'a> {
    BucketJson {
        name: bucket.name,
        bytes: bucket.bytes,
        share: explanation.waterfall.share(bucket.bytes),
        evidence: bucket.evidence,
        reclaimable_by: bucket.reclaimable_by.map(|by| by.as_str()),
        advice: bucket.advice.as_deref(),
    }
}

/// One object on one line.
pub fn write_explain(out: &mut dyn Write, e: &Explanation) -> io::Result<()> {
    let fall = &e.waterfall;
    let go = e.go.as_ref();
    let explain = Explain {
        schema: EXPLAIN_SCHEMA,
        pid: e.pid,
        t_ns: e.t_ns,
        comm: e.comm.as_deref(),
        exe: e.exe.as_deref(),
        go: go.map(|go| Go { version: &go.version, stripped: go.stripped, pie: go.pie, cgo: go.cgo }),
        rss_bytes: fall.rss_bytes,
        rss_smaps_bytes: e.smaps_rss_bytes,
        rss_status_before_bytes: e.status_rss_bytes[0],
        rss_status_after_bytes: e.status_rss_bytes[1],
        uncertainty_bytes: e.moved_bytes(),
        swapped_bytes: fall.swapped_bytes,
        buckets: fall.buckets.iter().map(|b| bucket(e, b)).collect(),
        unknown_bytes: fall.unknown_bytes,
        anonymous: fall.anonymous.iter().map(AnonymousJson::of).collect(),
        warnings: e.warnings(),
        memstats: e.sample.as_ref().map(MemStats::from),
        allocator: e.allocator.as_ref().map(AllocatorJson::of),
        refused: e.runtime_not_read.as_deref(),
        cgroup: e.cgroup.as_ref().map(ControllerJson::of),
    };
    serde_json::to_writer(&mut *out, &explain)?;
    writeln!(out)
}
