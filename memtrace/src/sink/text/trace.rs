//! One line an event, as it happens.
use super::Style;
use super::told::told;
use super::units::{clean, clean_path, duration, maybe, maybe_about, signed_size, size};
use crate::event::{
    Call, Event, FatalEvent, GoCounters, LastWords, MapEvent, MapOp, Meta, OomEvent, OomWhat, PressureEvent,
    ReclaimEvent, TaskEvent, TaskWhat,
};
use crate::sink::trace::family_and_op;
use crate::sink::{Frame, TraceLine};
use memtrace_common::advice;
use std::io::{self, Write};

/// Of what a Go runtime says at its end.
const MESSAGE_COLUMNS: usize = 120;

/// Prints the header before the first event.
#[derive(Clone, Copy, Debug)]
pub struct TraceText {
    style: Style,
    start_ns: u64,
    has_header: bool,
}

impl TraceText {
    /// `start_ns`: CLOCK_MONOTONIC of time 0.
    pub fn new(style: Style, start_ns: u64) -> Self {
        Self { style, start_ns, has_header: false }
    }

    /// One line and its stack; a sample is no event of the kernel and writes nothing.
    pub fn write(&mut self, out: &mut impl Write, line: &TraceLine<'_>) -> io::Result<()> {
        let (Some(meta), Some((family, op))) = (line.event.meta(), family_and_op(line.event)) else { return Ok(()) };
        self.write_header(out)?;
        let start = self.start(meta, line.comm, if matches!(family, "reclaim" | "pressure") { family } else { op });
        match line.event {
            Event::Advise(e) => {
                let name = advice::name(e.advice).map_or_else(|| format!("advice_{}", e.advice), str::to_owned);
                writeln!(out, "{start} {}", call_cells(&e.call, &name, true))?;
            }
            Event::Map(e) => writeln!(out, "{start} {}", call_cells(&e.call, &map_note(e), !is_mapping(e)))?,
            Event::Oom(e) => {
                let text = format!("{start} {}", oom_text(e));
                writeln!(out, "{}", self.style.alarm(&text))?;
            }
            Event::Reclaim(e) => writeln!(out, "{start} {}", reclaim_text(e))?,
            Event::Task(e) => writeln!(out, "{start} {}", task_text(e))?,
            Event::Words(e) => writeln!(out, "{start} {}", words_text(e))?,
            Event::Fatal(e) => {
                let text = format!("{start} {}", fatal_text(e, line.message));
                writeln!(out, "{}", self.style.alarm(&text))?;
            }
            Event::Pressure(e) => writeln!(out, "{start} {}", pressure_text(e))?,
            Event::Walk(_) | Event::Sample(_) => {}
        }
        line.stack.unwrap_or_default().iter().try_for_each(|frame| self.write_frame(out, frame))
    }

    /// The header alone, when nothing happened yet.
    pub fn write_header(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.has_header {
            return Ok(());
        }
        self.has_header = true;
        let heads = ["bytes", "advice", "returned", "latency", "go inuse", "go rel'd"];
        let line = format!(
            "{:>13} {:>7} {:>7} {:<15} {:<8} {}",
            "time s",
            "pid",
            "tid",
            "comm",
            "what",
            columns("address range", heads)
        );
        writeln!(out, "{}", self.style.bold(&line))
    }

    fn start(&self, meta: &Meta, comm: Option<&str>, op: &str) -> String {
        let us = meta.t_ns.saturating_sub(self.start_ns) / 1000;
        let time = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
        // the names that are too long for their column
        let op = match op {
            "process_madvise" => "pmadvise",
            "last_words" => "words",
            op => op,
        };
        let tid = Some(meta.tid).filter(|tid| *tid != 0).map_or("-".to_owned(), |tid| tid.to_string());
        format!("{time:>13} {:>7} {tid:>7} {:<15} {op:<8}", meta.tgid, clean(comm.unwrap_or("?"), 15))
    }

    fn write_frame(&self, out: &mut impl Write, frame: &Frame) -> io::Result<()> {
        let function = clean(frame.function.as_deref().unwrap_or("??"), 80);
        let place = match (&frame.file, frame.line) {
            (Some(file), Some(line)) => format!("  {}:{line}", clean_path(file, 60)),
            (Some(file), None) => format!("  {}", clean_path(file, 60)),
            (None, _) => String::new(),
        };
        writeln!(out, "{:>30}{function}{}", "", self.style.dim(&place))
    }
}

fn columns(range: &str, cells: [&str; 6]) -> String {
    let [bytes, note, returned, latency, inuse, released] = cells;
    let line = format!("{range:<25} {bytes:>8} {note:<15} {returned:>9} {latency:>8} {inuse:>8} {released:>8}");
    line.trim_end().to_owned()
}

/// `drops`: what it returned is worth a column.
fn call_cells(call: &Call, note: &str, drops: bool) -> String {
    let end = call.address.saturating_add(call.length_bytes);
    let returned = match call.freed_bytes {
        Some(freed) if drops => size(freed),
        None if drops => maybe_about(call.unmapped_bytes, call.approximate),
        _ => String::new(),
    };
    let heap = |field: fn(&GoCounters) -> u64| maybe(call.go.as_ref().map(field));
    let cells = [
        &*size(call.length_bytes),
        note,
        &*returned,
        &*duration(call.duration_ns),
        &*heap(|go| go.heap_inuse_bytes),
        &*heap(|go| go.heap_released_bytes),
    ];
    let line = columns(&format!("{:x}-{end:x}", call.address), cells);
    match call.result {
        -4095..0 => format!("{line}  failed: {}", errno(call.result)),
        _ => line,
    }
}

fn is_mapping(event: &MapEvent) -> bool {
    matches!(event.op, MapOp::Mmap)
}

/// What takes the advice column for the map family.
fn map_note(event: &MapEvent) -> String {
    match event.op {
        MapOp::Mmap => {
            let bit = |mask: u32, letter: char| if event.prot & mask != 0 { letter } else { '-' };
            [bit(1, 'r'), bit(2, 'w'), bit(4, 'x')].iter().collect()
        }
        MapOp::Munmap => String::new(),
        MapOp::Mremap => event.new_length_bytes.map(|new| format!("to {}", size(new))).unwrap_or_default(),
        MapOp::Brk => match event.brk_delta_bytes {
            Some(delta) if delta > 0 => format!("+{}", signed_size(delta)),
            Some(delta) => signed_size(delta),
            None => String::new(),
        },
    }
}

fn oom_text(event: &OomEvent) -> String {
    match event.what {
        OomWhat::Kill { .. } => {
            format!("the OOM killer sends SIGKILL; pid {} wanted memory", event.allocator_tgid)
        }
        OomWhat::Victim { anon_rss_bytes, file_rss_bytes, shmem_rss_bytes, .. } => format!(
            "chosen by the OOM killer: anon {}, file {}, shmem {}",
            maybe(anon_rss_bytes),
            maybe(file_rss_bytes),
            maybe(shmem_rss_bytes)
        ),
    }
}

fn words_text(words: &LastWords) -> String {
    let Some(go) = words.go else { return "its last state: the Go heap could not be read".to_owned() };
    let (inuse, released) = (size(go.heap_inuse_bytes), size(go.heap_released_bytes));
    format!("its last state: Go heap in use {inuse}, free {}, released {released}", size(go.heap_free_bytes))
}

fn fatal_text(event: &FatalEvent, message: Option<&str>) -> String {
    let said = format!("{}: {}", event.what.title(), clean(message.unwrap_or("(no text)"), MESSAGE_COLUMNS));
    let Some(go) = event.go else { return said };
    let (inuse, released) = (size(go.heap_inuse_bytes), size(go.heap_released_bytes));
    format!("{said}; Go heap in use {inuse}, free {}, released {released}", size(go.heap_free_bytes))
}

fn pressure_text(event: &PressureEvent) -> String {
    let heap = event.go.as_ref().map(|go| format!("; Go heap in use {}", size(go.heap_inuse_bytes)));
    format!("{}{}", told(&event.told), heap.unwrap_or_default())
}

fn reclaim_text(event: &ReclaimEvent) -> String {
    let why = if event.memcg { "its memory cgroup was full" } else { "the host was short of memory" };
    format!("{why}: stalled {}, {} reclaimed", duration(event.duration_ns), size(event.reclaimed_bytes))
}

fn task_text(event: &TaskEvent) -> String {
    let name = clean(&event.comm_text(), 15);
    match event.what {
        TaskWhat::Fork { parent_tgid } => format!("{name} forked by pid {parent_tgid}"),
        TaskWhat::Exec { .. } => format!("now runs {name}"),
        TaskWhat::Exit { status, rss_bytes } => {
            let how = match status & 0x7f {
                0 => format!("exited with code {}", (status >> 8) & 0xff),
                signal => format!("killed by signal {signal}"),
            };
            format!("{how}, RSS was {}", maybe(rss_bytes))
        }
        TaskWhat::Kill { sender_tgid, .. } => format!("SIGKILL from pid {sender_tgid} ({name})"),
    }
}

fn errno(result: i64) -> String {
    let name = match -result {
        1 => "EPERM",
        3 => "ESRCH",
        5 => "EIO",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        22 => "EINVAL",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}
