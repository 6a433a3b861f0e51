use crate::account::{Account, ProgramAccount};
use serde::Serialize;

/// The loss account as every schema carries it.
#[derive(Serialize)]
pub(super) struct AccountJson<'a> {
    hits: u64,
    filtered: u64,
    submitted: u64,
    ring_full: u64,
    read_failed: u64,
    received: u64,
    shed: u64,
    decoded: u64,
    decode_errors: u64,
    lost: u64,
    programs: Vec<ProgramJson<'a>>,
}

#[derive(Serialize)]
struct ProgramJson<'a> {
    name: &'a str,
    hits: u64,
    filtered: u64,
    submitted: u64,
    ring_full: u64,
    read_failed: u64,
}

impl<'a> AccountJson<'a> {
    pub(super) fn of(account: &'a Account) -> Self {
        Self {
            hits: account.hits(),
            filtered: account.filtered(),
            submitted: account.submitted(),
            ring_full: account.ring_full(),
            read_failed: account.read_failed(),
            received: account.received,
            shed: account.shed,
            decoded: account.decoded,
            decode_errors: account.decode_errors,
            lost: account.lost(),
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
            submitted: program.submitted,
            ring_full: program.ring_full,
            read_failed: program.read_failed,
        }
    }
}
