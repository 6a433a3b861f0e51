//! `memtrace.oom_list/1`: dossiers in short, as a person looks for one.
use super::document::Document;
use serde::Serialize;
use std::io::{self, Write};

const LIST_SCHEMA: &str = "memtrace.oom_list/1";

#[derive(Serialize)]
struct ListJson<'a> {
    schema: &'static str,
    dossiers: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    id: &'a str,
    killed_at_wall: &'a str,
    trigger: &'a str,
    cause: &'a str,
    pid: Option<u32>,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    workload: Option<&'a str>,
    verdict: &'a str,
    confidence_ratio: f64,
}

impl<'a> RowJson<'a> {
    fn of(document: &'a Document) -> Self {
        Self {
            id: &document.id,
            killed_at_wall: &document.killed_at_wall,
            trigger: &document.trigger,
            cause: &document.cause,
            pid: document.victim.pid,
            comm: document.victim.comm.as_deref(),
            exe: document.victim.exe.as_deref(),
            workload: document.workload.as_ref().map(|workload| workload.name.as_str()),
            verdict: &document.verdict.pattern,
            confidence_ratio: document.verdict.confidence_ratio,
        }
    }
}

/// One object on one line, in the order given.
pub fn write_list(out: &mut dyn Write, documents: &[Document]) -> io::Result<()> {
    let dossiers = documents.iter().map(RowJson::of).collect();
    serde_json::to_writer(&mut *out, &ListJson { schema: LIST_SCHEMA, dossiers })?;
    writeln!(out)
}
