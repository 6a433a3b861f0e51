//! The line every `-i`.
use super::table::wrapped;
use super::units::{count, maybe, maybe_about, size, who};
use super::{Style, told};
use crate::snapshot::{ProcessSnapshot, ReturnedBy, Snapshot};
use std::io::{self, Write};

/// More processes than this in one interval: the ones that returned most.
const SHOWN: usize = 10;
const HEADER_EVERY_LINES: usize = 40;

/// Keeps what the interval lines need from one to the next.
#[derive(Clone, Copy, Debug)]
pub struct IntervalText {
    style: Style,
    start_ns: u64,
    lines_to_header: usize,
    lost: u64,
}

impl IntervalText {
    /// `start_ns`: CLOCK_MONOTONIC of time 0.
    pub fn new(style: Style, start_ns: u64) -> Self {
        Self { style, start_ns, lines_to_header: 0, lost: 0 }
    }

    /// One line per process, with a header now and then.
    pub fn write(&mut self, out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
        if self.lines_to_header == 0 {
            let cells = ["returned", "re-fault", "kept", "RSS", "go inuse", "go idle", "go rel'd"].map(str::to_owned);
            writeln!(out, "{}", self.style.bold(&line("time", "process", &cells)))?;
            self.lines_to_header = HEADER_EVERY_LINES;
        }
        let time = elapsed(snapshot.t_ns.saturating_sub(self.start_ns));
        let mut shown: Vec<&ProcessSnapshot> = snapshot.processes.iter().collect();
        shown.sort_by_key(|p| std::cmp::Reverse(p.returned_bytes));
        let rest = shown.split_off(shown.len().min(SHOWN));
        for process in shown {
            writeln!(out, "{}", line(&time, &who(process), &cells(process)))?;
            self.lines_to_header = self.lines_to_header.saturating_sub(1);
        }
        if snapshot.processes.is_empty() {
            writeln!(out, "{}", self.style.dim(&line(&time, "nothing yet", &[])))?;
        }
        if !rest.is_empty() {
            let bytes = rest.iter().filter_map(|p| p.returned_bytes).fold(0, u64::saturating_add);
            let more = format!("{:>9}  and {} more, which returned {}", "", rest.len(), size(bytes));
            writeln!(out, "{}", self.style.dim(&more))?;
        }
        for pressure in &snapshot.pressure {
            wrapped(out, &format!("{:>9}  pressure: ", ""), &told::all(pressure), str::to_owned)?;
        }
        let lost = snapshot.account.lost();
        if lost > self.lost {
            self.lost = lost;
            let loss = format!("{:>9}  !! {} events lost so far", "", count(lost));
            writeln!(out, "{}", self.style.alarm(&loss))?;
        }
        Ok(())
    }
}

/// Whether `returned_bytes` rests on a difference that others may have moved.
pub(super) fn returned_is_approximate(process: &ProcessSnapshot) -> bool {
    let approximate = process.munmap.approximate_calls > 0
        || process.advise.iter().any(|(_, call)| call.approximate_calls > 0 && call.unmapped_bytes.is_some());
    approximate && process.returned_by != Some(ReturnedBy::Freed)
}

fn cells(process: &ProcessSnapshot) -> Vec<String> {
    let about = returned_is_approximate(process);
    let heap = process.heap.unwrap_or_default();
    vec![
        maybe_about(process.returned_bytes, about),
        maybe(process.refaulted_bytes),
        maybe_about(process.kept_bytes, about),
        maybe(process.rss.end_bytes),
        maybe(heap.inuse.end_bytes),
        maybe(heap.idle.end_bytes),
        maybe(heap.released.end_bytes),
    ]
}

fn line(time: &str, process: &str, cells: &[String]) -> String {
    let mut line = format!("{time:>9}  {process:<23}");
    for cell in cells {
        line.push_str(&format!(" {cell:>8}"));
    }
    line.trim_end().to_owned()
}

/// `12.0s`; days when nobody reads tenths any more.
fn elapsed(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    if seconds < 999_999.0 { format!("{seconds:.1}s") } else { format!("{:.1}d", seconds / 86_400.0) }
}
