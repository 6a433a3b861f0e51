//! `memtrace.process/1`: what `memtrace agent` serves of one process: its object of `memtrace.stat/1`, and what a dossier of
//! it would say now.
use super::stat::ProcessJson;
use crate::dossier::Dossier;
use crate::procfs::clock::ClockOffset;
use crate::sink::oom::{Document, TimelineJson, TopJson, WorkloadJson};
use serde::Serialize;
use std::io;

#[derive(Serialize)]
struct LivingJson<'a> {
    schema: &'static str,
    t_ns: u64,
    workload: &'a Option<WorkloadJson>,
    #[serde(flatten)]
    process: ProcessJson<'a>,
    /// Who holds the heap, the goroutines and the mappings, at the first and at the last close look.
    top: &'a TopJson,
    timeline: &'a TimelineJson,
}

pub(super) fn write(out: &mut impl io::Write, of: &Dossier) -> io::Result<()> {
    let Document { workload, top, timeline, .. } = &Document::of(of, ClockOffset::of_wall());
    let process = ProcessJson::of(&of.process);
    super::write_line(
        out,
        &LivingJson { schema: super::PROCESS_SCHEMA, t_ns: of.t_ns, workload, process, top, timeline },
    )
}
