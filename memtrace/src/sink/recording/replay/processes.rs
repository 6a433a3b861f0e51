//! A line per process: its figures at the start, at their highest and at the end, and its ledger.
use super::super::row::ReadRow;
use super::super::schema::{Column, of_signal};
use super::{REPLAY_SCHEMA, bytes};
use crate::sink::text::{Style, clean, maybe};
use crate::timeline::Signal;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// Processes with a line; of others only how many rows they have is said.
pub(super) const MAX: usize = 1 << 14;

/// Which process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) node: String,
    pub(super) pid: Option<i64>,
    pub(super) start_time_ns: Option<i64>,
}

impl Id {
    pub(super) fn of(row: &ReadRow) -> Id {
        let (pid, start_time_ns) = (row.integer(Column::Pid), row.integer(Column::StartTime));
        Id { node: row.name(Column::Node).unwrap_or("?").to_owned(), pid, start_time_ns }
    }
}

/// A figure over time, in whatever order it comes: files are named by the wall clock, which may have been set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Span {
    first: Option<u64>,
    last: Option<u64>,
    max: Option<u64>,
    /// On CLOCK_MONOTONIC.
    #[serde(skip)]
    between_ns: Option<[i64; 2]>,
}

impl Span {
    fn add(&mut self, t_ns: i64, value: Option<u64>) {
        if value.is_none() {
            return;
        }
        let [first_ns, last_ns] = self.between_ns.unwrap_or([t_ns; 2]);
        if self.first.is_none() || t_ns < first_ns {
            self.first = value;
        }
        if t_ns >= last_ns {
            self.last = value;
        }
        self.max = self.max.max(value);
        self.between_ns = Some([first_ns.min(t_ns), last_ns.max(t_ns)]);
    }
}

const SPANS: [Signal; 6] =
    [Signal::Rss, Signal::HeapInuse, Signal::HeapIdle, Signal::HeapReleased, Signal::Goroutines, Signal::GcCycles];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Ledger {
    returned_bytes: Option<u64>,
    refaulted_bytes: Option<u64>,
    kept_bytes: Option<u64>,
    lazy_bytes: Option<u64>,
    faults: Option<u64>,
    exit_code: Option<u64>,
    exit_signal: Option<u64>,
}

#[derive(Debug, Default)]
struct Process {
    comm: Option<String>,
    exe: Option<String>,
    workload: Option<String>,
    samples: u64,
    time_us: Span,
    spans: [Span; SPANS.len()],
    ledger: Option<Ledger>,
}

#[derive(Serialize)]
struct ProcessJson<'a> {
    schema: &'static str,
    kind: &'static str,
    node: &'a str,
    pid: Option<i64>,
    start_time_ns: Option<i64>,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    workload: Option<&'a str>,
    samples: u64,
    first_time_us: Option<u64>,
    last_time_us: Option<u64>,
    #[serde(flatten)]
    spans: BTreeMap<&'static str, Span>,
    ledger: Option<Ledger>,
}

#[derive(Debug, Default)]
pub(super) struct Processes {
    processes: BTreeMap<Id, Process>,
    left_out_rows: u64,
}

impl Processes {
    pub(super) fn wants(column: usize) -> bool {
        let columns = [
            Column::Pid,
            Column::StartTime,
            Column::Comm,
            Column::Exe,
            Column::Workload,
            Column::Kept,
            Column::ExitCode,
            Column::ExitSignal,
        ];
        let signals = [Signal::Returned, Signal::Refaulted, Signal::Lazy, Signal::Faults];
        columns.iter().any(|wanted| *wanted as usize == column)
            || SPANS.iter().chain(&signals).any(|wanted| of_signal(*wanted) == column)
    }

    pub(super) fn add(&mut self, row: &ReadRow) {
        let id = Id::of(row);
        if self.processes.len() >= MAX && !self.processes.contains_key(&id) {
            self.left_out_rows += 1;
            return;
        }
        let process = self.processes.entry(id).or_default();
        for (known, column) in [
            (&mut process.comm, Column::Comm),
            (&mut process.exe, Column::Exe),
            (&mut process.workload, Column::Workload),
        ] {
            let name = row.name(column);
            if name.is_some() && name != known.as_deref() {
                *known = name.map(str::to_owned);
            }
        }
        if row.text(Column::Kind) == Some(super::Kind::Ledger.name()) {
            let of = |column| row.integer(column).and_then(|value| u64::try_from(value).ok());
            process.ledger = Some(Ledger {
                returned_bytes: bytes(row, Signal::Returned),
                refaulted_bytes: bytes(row, Signal::Refaulted),
                kept_bytes: of(Column::Kept),
                lazy_bytes: bytes(row, Signal::Lazy),
                faults: bytes(row, Signal::Faults),
                exit_code: of(Column::ExitCode),
                exit_signal: of(Column::ExitSignal),
            });
            return;
        }
        process.samples += 1;
        let t_ns = row.integer(Column::TNs).unwrap_or_default();
        process.time_us.add(t_ns, row.integer(Column::Time).and_then(|us| u64::try_from(us).ok()));
        for (span, signal) in process.spans.iter_mut().zip(SPANS) {
            span.add(t_ns, bytes(row, signal));
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write, is_json: bool, style: Style) -> io::Result<()> {
        if is_json {
            return self.processes.iter().try_for_each(|(id, process)| write_json(out, id, process));
        }
        let head = format!(
            "{:>7} {:<15} {:<16} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "PID",
            "COMMAND",
            "NODE",
            "SAMPLES",
            "RSS 1ST",
            "RSS MAX",
            "RSS LAST",
            "HEAP 1ST",
            "HEAP MAX",
            "HEAP LAST",
            "RETURNED",
            "REFAULTED",
            "KEPT"
        );
        writeln!(out, "{}", style.bold(&head))?;
        for (id, process) in &self.processes {
            let [rss, heap, ..] = process.spans;
            let ledger = process.ledger.unwrap_or_default();
            writeln!(
                out,
                "{:>7} {:<15} {:<16} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                shown(id.pid),
                clean(process.comm.as_deref().unwrap_or("?"), 15),
                clean(&id.node, 16),
                process.samples,
                maybe(rss.first),
                maybe(rss.max),
                maybe(rss.last),
                maybe(heap.first),
                maybe(heap.max),
                maybe(heap.last),
                maybe(ledger.returned_bytes),
                maybe(ledger.refaulted_bytes),
                maybe(ledger.kept_bytes),
            )?;
        }
        if self.left_out_rows > 0 {
            writeln!(out, "{} rows of more processes are left out", self.left_out_rows)?;
        }
        Ok(())
    }
}

fn write_json(out: &mut dyn Write, id: &Id, process: &Process) -> io::Result<()> {
    let json = ProcessJson {
        schema: REPLAY_SCHEMA,
        kind: "process",
        node: &id.node,
        pid: id.pid,
        start_time_ns: id.start_time_ns,
        comm: process.comm.as_deref(),
        exe: process.exe.as_deref(),
        workload: process.workload.as_deref(),
        samples: process.samples,
        first_time_us: process.time_us.first,
        last_time_us: process.time_us.last,
        spans: SPANS.iter().map(|signal| signal.name()).zip(process.spans).collect(),
        ledger: process.ledger,
    };
    serde_json::to_writer(&mut *out, &json)?;
    writeln!(out)
}

pub(super) fn shown(pid: Option<i64>) -> String {
    pid.map_or("-".to_owned(), |pid| pid.to_string())
}

pub(super) fn wall(time_us: i64) -> String {
    // The last of year 9999: what is later cannot be written.
    const LATEST_US: u64 = 253_402_300_799_000_000;
    let time = UNIX_EPOCH + Duration::from_micros(time_us.max(0).unsigned_abs().min(LATEST_US));
    humantime::format_rfc3339_seconds(time).to_string()
}
