//! `memtrace.goroutines/1` and `memtrace.heap/1`: one object. In a difference the counts may be negative.
use crate::enrich::profiles::{GoroutineTotals, HeapTotals};
use crate::goruntime::Frame;
use crate::profile::Sample;
use crate::sink::{ProfileReport, Profiled};
use serde::Serialize;
use std::io::{self, Write};

/// Fields are added freely; renaming or dropping one takes a new number.
pub const GOROUTINES_SCHEMA: &str = "memtrace.goroutines/1";
pub const HEAP_SCHEMA: &str = "memtrace.heap/1";

#[derive(Serialize)]
struct Head<'a> {
    schema: &'static str,
    pid: u32,
    t_ns: u64,
    comm: Option<&'a str>,
    exe: Option<&'a str>,
    go_version: &'a str,
    /// The earlier profile, of a difference.
    since: Option<&'a str>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Goroutines<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    num_goroutine: u64,
    counted: u64,
    stack_bytes: u64,
    system: System,
    one_in: u64,
    unlisted: u64,
    dead: u64,
    damaged: u64,
    groups: Vec<Group<'a>>,
}

#[derive(Serialize)]
struct System {
    count: u64,
    stack_bytes: u64,
}

#[derive(Serialize)]
struct Group<'a> {
    count: i64,
    stack_bytes: i64,
    state: Option<&'a str>,
    wait_reason: Option<&'a str>,
    /// At least so long waits the one that waits longest: since the first collection that met it waiting.
    waiting_ns: Option<i64>,
    start: Option<Call<'a>>,
    creator: Option<Call<'a>>,
}

#[derive(Serialize)]
struct Heap<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    /// `runtime.MemProfileRate`; all counts are estimates from one sample in so many bytes.
    rate_bytes: u64,
    left_out: u64,
    total: Counts,
    stacks: Vec<Stack<'a>>,
}

#[derive(Serialize)]
struct Stack<'a> {
    #[serde(flatten)]
    counts: Counts,
    /// Innermost call first.
    stack: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Counts {
    alloc_objects: i64,
    alloc_bytes: i64,
    inuse_objects: i64,
    inuse_bytes: i64,
}

#[derive(Serialize)]
struct Call<'a> {
    address: u64,
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

/// One object on one line.
pub fn write_profile(out: &mut dyn Write, report: &ProfileReport) -> io::Result<()> {
    match &report.of {
        Profiled::Goroutines(totals) => serde_json::to_writer(&mut *out, &goroutines(report, totals))?,
        Profiled::Heap(totals) => serde_json::to_writer(&mut *out, &heap(report, totals))?,
    }
    writeln!(out)
}

fn head<'a>(report: &'a ProfileReport, schema: &'static str) -> Head<'a> {
    Head {
        schema,
        pid: report.pid,
        t_ns: report.t_ns,
        comm: report.comm.as_deref(),
        exe: report.exe.as_deref(),
        go_version: &report.go_version,
        since: report.since.as_deref(),
        warnings: report.warnings(),
    }
}

fn goroutines<'a>(report: &'a ProfileReport, totals: &GoroutineTotals) -> Goroutines<'a> {
    Goroutines {
        head: head(report, GOROUTINES_SCHEMA),
        num_goroutine: totals.num_goroutine,
        counted: totals.counted,
        stack_bytes: totals.stack_bytes,
        system: System { count: totals.system.count, stack_bytes: totals.system.stack_bytes },
        one_in: totals.one_in,
        unlisted: totals.unlisted,
        dead: totals.dead,
        damaged: totals.damaged,
        groups: report.profile.samples.iter().map(group).collect(),
    }
}

fn group(sample: &Sample) -> Group<'_> {
    let label = |name: &str| sample.labels.get(name).map(String::as_str);
    Group {
        count: value(sample, 0),
        stack_bytes: value(sample, 1),
        state: label("state"),
        wait_reason: label("wait_reason"),
        waiting_ns: sample.numbers.get("waiting").map(|(age, _)| *age),
        start: sample.stack.first().map(call),
        creator: sample.stack.get(1).map(call),
    }
}

fn heap<'a>(report: &'a ProfileReport, totals: &HeapTotals) -> Heap<'a> {
    let counts = |of: &dyn Fn(usize) -> i64| Counts {
        alloc_objects: of(0),
        alloc_bytes: of(1),
        inuse_objects: of(2),
        inuse_bytes: of(3),
    };
    let stack = |sample: &'a Sample| Stack {
        counts: counts(&|index| value(sample, index)),
        stack: sample.stack.iter().map(call).collect(),
    };
    Heap {
        head: head(report, HEAP_SCHEMA),
        rate_bytes: totals.rate_bytes,
        left_out: totals.left_out,
        total: counts(&|index| report.profile.total(index)),
        stacks: report.profile.samples.iter().map(stack).collect(),
    }
}

fn value(sample: &Sample, index: usize) -> i64 {
    sample.values.get(index).copied().unwrap_or(0)
}

fn call(frame: &Frame) -> Call<'_> {
    let Frame { address, function, file, line } = frame;
    Call { address: *address, function: function.as_deref(), file: file.as_deref(), line: *line }
}
