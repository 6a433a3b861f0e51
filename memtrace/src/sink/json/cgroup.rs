//! `memtrace.cgroup/1`: one object.
use super::controller::ControllerJson;
use super::write_line;
use crate::cgroup::gomemlimit::Limits;
use crate::sink::{CgroupReport, GoMember, MemberRow};
use serde::Serialize;
use std::io::{self, Write};

/// Fields are added freely; renaming or dropping one takes a new number.
pub const CGROUP_SCHEMA: &str = "memtrace.cgroup/1";

#[derive(Serialize)]
struct Cgroup<'a> {
    schema: &'static str,
    t_ns: u64,
    place: &'a str,
    identity: IdentityJson<'a>,
    cgroup: ControllerJson<'a>,
    cgroups: usize,
    processes: Vec<Process<'a>>,
    /// Null: the kernel does not say what the charge consists of.
    reconciliation: Option<ReconciliationJson>,
    /// How far the charge moved meanwhile.
    uncertainty_bytes: u64,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct IdentityJson<'a> {
    runtime: Option<&'static str>,
    container_id: Option<&'a str>,
    pod_uid: Option<&'a str>,
    qos: Option<&'static str>,
    unit: Option<&'a str>,
    namespace: Option<&'a str>,
    pod: Option<&'a str>,
    container: Option<&'a str>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    comm: Option<&'a str>,
    rss_bytes: Option<u64>,
    rss_anon_bytes: Option<u64>,
    rss_file_bytes: Option<u64>,
    rss_shmem_bytes: Option<u64>,
    swap_bytes: Option<u64>,
    go: Option<Go<'a>>,
}

#[derive(Serialize)]
struct Go<'a> {
    version: &'a str,
    /// Why its runtime is not read; then the rest is null.
    refused: Option<&'a str>,
    verdict: Option<&'static str>,
    gomemlimit_bytes: Option<u64>,
    suggested_bytes: Option<u64>,
    held_bytes: Option<u64>,
    live_bytes: Option<u64>,
    beside_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ReconciliationJson {
    /// `frames` or `sums`.
    by: &'static str,
    rows: Vec<RowJson>,
    residual_bytes: i64,
    residual_ratio: Option<f64>,
    lag_bytes: u64,
}

#[derive(Serialize)]
struct RowJson {
    name: &'static str,
    bytes: i64,
    evidence: &'static str,
}

/// One object on one line.
pub fn write_cgroup(mut out: &mut dyn Write, report: &CgroupReport) -> io::Result<()> {
    let names = report.names.as_ref();
    let identity = IdentityJson {
        runtime: report.identity.runtime,
        container_id: report.identity.container_id.as_deref(),
        pod_uid: report.identity.pod_uid.as_deref(),
        qos: report.identity.qos,
        unit: report.identity.unit.as_deref(),
        namespace: names.and_then(|names| names.namespace.as_deref()),
        pod: names.and_then(|names| names.pod.as_deref()),
        container: names.and_then(|names| names.container.as_deref()),
    };
    let cgroup = Cgroup {
        schema: CGROUP_SCHEMA,
        t_ns: report.t_ns,
        place: &report.place,
        identity,
        cgroup: ControllerJson::of(&report.account),
        cgroups: report.cgroups,
        processes: report.members.iter().map(process).collect(),
        reconciliation: reconciliation(report),
        uncertainty_bytes: report.moved_bytes,
        warnings: &report.warnings,
    };
    write_line(&mut out, &cgroup)
}

fn process(row: &MemberRow) -> Process<'_> {
    let status = &row.member.status;
    Process {
        pid: row.member.pid,
        comm: row.member.comm.as_deref(),
        rss_bytes: status.rss_bytes(),
        rss_anon_bytes: status.rss_anon_bytes,
        rss_file_bytes: status.rss_file_bytes,
        rss_shmem_bytes: status.rss_shmem_bytes,
        swap_bytes: status.swap_bytes,
        go: row.go.as_ref().map(go),
    }
}

fn go(go: &GoMember) -> Go<'_> {
    let limits = go.limits.as_ref().ok();
    Go {
        version: &go.version,
        refused: go.limits.as_ref().err().map(String::as_str),
        verdict: limits.map(|limits| limits.verdict().as_str()),
        gomemlimit_bytes: limits.and_then(|limits| limits.gomemlimit_bytes),
        suggested_bytes: limits.and_then(Limits::suggested_bytes),
        held_bytes: limits.map(|limits| limits.go_bytes),
        live_bytes: limits.map(|limits| limits.live_bytes),
        beside_bytes: limits.and_then(Limits::beside_bytes),
    }
}

fn reconciliation(report: &CgroupReport) -> Option<ReconciliationJson> {
    let of = report.reconciliation.as_ref()?;
    Some(ReconciliationJson {
        by: if report.by_frames { "frames" } else { "sums" },
        rows: of.rows.iter().map(|row| RowJson { name: row.name, bytes: row.bytes, evidence: row.evidence }).collect(),
        residual_bytes: of.residual_bytes,
        residual_ratio: of.residual_ratio(),
        lag_bytes: of.lag_bytes,
    })
}
