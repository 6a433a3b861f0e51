use crate::account::{Account, ProgramAccount};
use serde::Serialize;
use std::net::SocketAddr;

/// The loss account as every schema carries it.
#[derive(Serialize)]
pub(super) struct AccountJson<'a> {
    hits: u64,
    filtered: u64,
    summed: u64,
    submitted: u64,
    ring_full: u64,
    read_failed: u64,
    received: u64,
    shed: u64,
    decoded: u64,
    decode_errors: u64,
    lost: u64,
    skipped_runs: Option<u64>,
    /// By the exporter, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    export_dropped: Option<u64>,
    programs: Vec<ProgramJson<'a>>,
}

#[derive(Serialize)]
struct ProgramJson<'a> {
    name: &'a str,
    hits: u64,
    filtered: u64,
    summed: u64,
    submitted: u64,
    ring_full: u64,
    read_failed: u64,
}

impl<'a> AccountJson<'a> {
    pub(super) fn of(account: &'a Account) -> Self {
        Self {
            hits: account.hits(),
            filtered: account.filtered(),
            summed: account.summed(),
            submitted: account.submitted(),
            ring_full: account.ring_full(),
            read_failed: account.read_failed(),
            received: account.received,
            shed: account.shed,
            decoded: account.decoded,
            decode_errors: account.decode_errors,
            lost: account.lost(),
            skipped_runs: account.skipped_runs,
            export_dropped: account.exported.map(|of| of.metrics.dropped() + of.logs.dropped()),
            programs: account.programs.iter().map(ProgramJson::of).collect(),
        }
    }
}

impl<'a> ProgramJson<'a> {
    fn of(program: &'a ProgramAccount) -> Self {
        Self {
            name: &program.name,
            hits: program.hits,
            filtered: program.filtered,
            summed: program.summed,
            submitted: program.submitted,
            ring_full: program.ring_full,
            read_failed: program.read_failed,
        }
    }
}

/// What begins a stream of dossiers.
#[derive(Serialize)]
pub(super) struct FirstLine<'a> {
    pub(super) schema: &'static str,
    pub(super) kind: &'static str,
    pub(super) t_ns: u64,
    pub(super) processes: usize,
    /// Where they are saved.
    pub(super) directory: Option<&'a str>,
    /// Of `agent` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<SocketAddr>,
}

/// What ends a stream of another schema's lines.
#[derive(Serialize)]
pub(super) struct LastLine<'a> {
    schema: &'static str,
    kind: &'static str,
    t_ns: u64,
    account: AccountJson<'a>,
}

impl<'a> LastLine<'a> {
    pub(super) fn of(schema: &'static str, t_ns: u64, account: &'a Account) -> Self {
        Self { schema, kind: "account", t_ns, account: AccountJson::of(account) }
    }
}
