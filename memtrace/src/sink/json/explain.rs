//! `memtrace.explain/1`: one object.
use super::allocator::AllocatorJson;
use super::memstats::MemStats;
use super::waterfall::AnonymousJson;
use crate::aggregate::waterfall::Bucket;
use crate::cgroup::Account;
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
    cgroup: Option<Cgroup<'a>>,
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

#[derive(Serialize)]
struct Cgroup<'a> {
    path: std::borrow::Cow<'a, str>,
    version: u8,
    charge_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    effective_limit_bytes: Option<u64>,
    high_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    reclaimable_bytes: Option<u64>,
    nonreclaimable_bytes: Option<u64>,
    anon_bytes: Option<u64>,
    file_bytes: Option<u64>,
    shmem_bytes: Option<u64>,
    file_mapped_bytes: Option<u64>,
    file_dirty_bytes: Option<u64>,
    file_writeback_bytes: Option<u64>,
    inactive_file_bytes: Option<u64>,
    active_file_bytes: Option<u64>,
    kernel_bytes: Option<u64>,
    kernel_stack_bytes: Option<u64>,
    page_tables_bytes: Option<u64>,
    slab_reclaimable_bytes: Option<u64>,
    slab_unreclaimable_bytes: Option<u64>,
    sock_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    swap_limit_bytes: Option<u64>,
    limit_hits: Option<u64>,
    oom_kills: Option<u64>,
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

fn cgroup(a: &Account) -> Cgroup<'_> {
    Cgroup {
        path: a.path.to_string_lossy(),
        version: a.version,
        charge_bytes: a.charge_bytes,
        limit_bytes: a.limit_bytes,
        effective_limit_bytes: a.effective_limit_bytes,
        high_bytes: a.high_bytes,
        peak_bytes: a.peak_bytes,
        reclaimable_bytes: a.reclaimable_bytes(),
        nonreclaimable_bytes: a.nonreclaimable_bytes(),
        anon_bytes: a.anon_bytes,
        file_bytes: a.file_bytes,
        shmem_bytes: a.shmem_bytes,
        file_mapped_bytes: a.file_mapped_bytes,
        file_dirty_bytes: a.file_dirty_bytes,
        file_writeback_bytes: a.file_writeback_bytes,
        inactive_file_bytes: a.inactive_file_bytes,
        active_file_bytes: a.active_file_bytes,
        kernel_bytes: a.kernel_bytes,
        kernel_stack_bytes: a.kernel_stack_bytes,
        page_tables_bytes: a.page_tables_bytes,
        slab_reclaimable_bytes: a.slab_reclaimable_bytes,
        slab_unreclaimable_bytes: a.slab_unreclaimable_bytes,
        sock_bytes: a.sock_bytes,
        swap_bytes: a.swap_bytes,
        swap_limit_bytes: a.swap_limit_bytes,
        limit_hits: a.limit_hits,
        oom_kills: a.oom_kills,
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
        cgroup: e.cgroup.as_ref().map(cgroup),
    };
    serde_json::to_writer(&mut *out, &explain)?;
    writeln!(out)
}
