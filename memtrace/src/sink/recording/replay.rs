//! Views of recordings: what a person reads of them without an engine.
mod processes;

use super::read::Recording;
use super::row::ReadRow;
use super::schema::{Column, Kind};
use crate::sink::oom::{Document, write_json, write_text};
use crate::sink::text::{Style, TraceText, clean, percent, size};
use crate::timeline::Signal;
use parquet::file::reader::ChunkReader;
use processes::{Id, Processes};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Schema of `replay -o json`, but for events and dossiers, which are as they were.
pub const REPLAY_SCHEMA: &str = "memtrace.replay/1";
/// Of processes, and of one look: a recording of ours has fewer.
const MAX_LOOKS: usize = 1 << 12;
const MAX_BUCKETS: usize = 64;
/// Columns of a line of `trace`.
const LINE: usize = 400;

/// What is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Stat,
    Trace,
    Explain,
    Oom,
}

/// Files are taken one after the other, in the order of their time.
pub struct Replay<'a> {
    view: View,
    is_json: bool,
    style: Style,
    out: &'a mut dyn Write,
    processes: Processes,
    looks: BTreeMap<Id, Look>,
    has_header: bool,
}

/// The newest close look at a process.
#[derive(Debug, Default)]
struct Look {
    /// On CLOCK_MONOTONIC: by it one is newer than another.
    t_ns: i64,
    time_us: i64,
    comm: String,
    buckets: Vec<(String, u64)>,
}

#[derive(Serialize)]
struct LookJson<'a> {
    schema: &'static str,
    kind: &'static str,
    node: &'a str,
    pid: Option<i64>,
    start_time_ns: Option<i64>,
    comm: &'a str,
    time_us: i64,
    rss_bytes: u64,
    buckets: BTreeMap<&'a str, u64>,
}

impl<'a> Replay<'a> {
    pub fn new(view: View, is_json: bool, style: Style, out: &'a mut dyn Write) -> Self {
        let (processes, looks) = (Processes::default(), BTreeMap::new());
        Self { view, is_json, style, out, processes, looks, has_header: false }
    }

    /// Two failures: of the file, and of the output.
    pub fn file<R: ChunkReader + 'static>(&mut self, file: R) -> Result<io::Result<()>, String> {
        let recording = Recording::open(file)?;
        let mut written = Ok(());
        match self.view {
            View::Stat => recording.rows(&[Kind::Sample, Kind::Ledger], Processes::wants, |row| {
                self.processes.add(row);
            })?,
            View::Trace => {
                let column = if self.is_json { Column::Json } else { Column::Text };
                recording.rows(
                    &[Kind::Event],
                    |at| at == column as usize,
                    |row| {
                        if written.is_ok() {
                            written = row.text(column).map_or(Ok(()), |text| self.event(text));
                        }
                    },
                )?;
            }
            View::Explain => {
                let wanted = [Column::Pid, Column::StartTime, Column::Comm, Column::Bucket, Column::BucketBytes];
                let wants = |at| wanted.iter().any(|column| *column as usize == at);
                recording.rows(&[Kind::Waterfall], wants, |row| self.look(row))?;
            }
            View::Oom => recording.rows(
                &[Kind::Oom],
                |at| at == Column::Json as usize,
                |row| {
                    if written.is_ok() {
                        written = row.text(Column::Json).map_or(Ok(()), |json| self.dossier(json));
                    }
                },
            )?,
        }
        Ok(written)
    }

    /// What is known only after the last file.
    pub fn finish(self) -> io::Result<()> {
        match self.view {
            View::Stat => self.processes.write(self.out, self.is_json, self.style),
            View::Explain => self.write_looks(),
            View::Trace if !self.is_json && !self.has_header => {
                TraceText::new(self.style, 0).write_header(&mut { self.out })
            }
            View::Trace | View::Oom => Ok(()),
        }
    }

    fn event(&mut self, text: &str) -> io::Result<()> {
        if self.is_json {
            return write_object(self.out, text);
        }
        if !std::mem::replace(&mut self.has_header, true) {
            TraceText::new(self.style, 0).write_header(&mut self.out)?;
        }
        text.lines().try_for_each(|line| writeln!(self.out, "{}", clean(line, LINE)))
    }

    fn dossier(&mut self, json: &str) -> io::Result<()> {
        match Document::parse(json.as_bytes()) {
            Ok(document) if self.is_json => write_json(self.out, &document),
            Ok(document) => {
                if std::mem::replace(&mut self.has_header, true) {
                    writeln!(self.out)?;
                }
                write_text(self.out, &document, self.style)
            }
            Err(why) => {
                log::warn!("a dossier of the recording: {}", clean(&why, LINE));
                Ok(())
            }
        }
    }

    fn look(&mut self, row: &ReadRow) {
        let [t_ns, time_us] = [Column::TNs, Column::Time].map(|column| row.integer(column));
        let (Some(t_ns), Some(time_us), Some(bucket)) = (t_ns, time_us, row.name(Column::Bucket)) else { return };
        let bytes = row.integer(Column::BucketBytes).and_then(|bytes| u64::try_from(bytes).ok());
        let (Some(bytes), true) = (bytes, self.looks.len() < MAX_LOOKS) else { return };
        let look = self.looks.entry(Id::of(row)).or_default();
        if t_ns > look.t_ns {
            *look = Look { t_ns, time_us, comm: row.name(Column::Comm).unwrap_or("?").to_owned(), buckets: Vec::new() };
        }
        if t_ns == look.t_ns && look.buckets.len() < MAX_BUCKETS {
            look.buckets.push((bucket.to_owned(), bytes));
        }
    }

    fn write_looks(self) -> io::Result<()> {
        let Replay { looks, out, style, is_json, .. } = self;
        for (id, look) in &looks {
            let rss_bytes = look.buckets.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
            let Id { node, pid, start_time_ns } = id;
            if is_json {
                let buckets = look.buckets.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
                let (schema, kind, comm, time_us) = (REPLAY_SCHEMA, "waterfall", look.comm.as_str(), look.time_us);
                let (pid, start_time_ns) = (*pid, *start_time_ns);
                let json = LookJson { schema, kind, node, pid, start_time_ns, comm, time_us, rss_bytes, buckets };
                serde_json::to_writer(&mut *out, &json)?;
                writeln!(out)?;
                continue;
            }
            let (comm, node) = (clean(&look.comm, 15), clean(node, 40));
            let time = processes::wall(look.time_us);
            let head = format!("{comm} (pid {}) on {node} at {time}: RSS {}", processes::shown(*pid), size(rss_bytes));
            writeln!(out, "{}", style.bold(&head))?;
            for (name, bytes) in &look.buckets {
                let share = if rss_bytes == 0 { 0.0 } else { *bytes as f64 / rss_bytes as f64 };
                writeln!(out, "  {:<40} {:>10} {:>6}", clean(name, 40), size(*bytes), percent(share))?;
            }
        }
        Ok(())
    }
}

/// As it was written, if it is an object on one line.
fn write_object(out: &mut dyn Write, json: &str) -> io::Result<()> {
    let is_object = !json.contains(['\n', '\r']) && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
    if is_object { writeln!(out, "{json}") } else { Ok(()) }
}

/// Of a signal, in a row.
fn bytes(row: &ReadRow, signal: Signal) -> Option<u64> {
    row.signal(signal).and_then(|value| u64::try_from(value).ok())
}
