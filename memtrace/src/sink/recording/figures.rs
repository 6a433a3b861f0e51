//! From what is known to rows of it.
use super::row::{Cells, Labels, Row};
use super::schema::{Column, Kind};
use crate::account::Account;
use crate::aggregate::ProcessInfo;
use crate::aggregate::waterfall::Waterfall;
use crate::cgroup::workload::Workload;
use crate::event::{Call, Event};
use crate::procfs::clock::ClockOffset;
use crate::sink::oom::Document;
use crate::sink::trace::family_and_op;
use crate::snapshot::ProcessSnapshot;
use crate::timeline::{Point, Signal};
use memtrace_common::advice;
use std::path::Path;
use std::sync::Arc;

/// An instant by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    pub t_ns: u64,
    pub time_us: i64,
}

impl When {
    /// `wall`: as it is now.
    pub fn of(t_ns: u64, wall: ClockOffset) -> When {
        When { t_ns, time_us: i64::try_from(wall.from_monotonic(t_ns) / 1000).unwrap_or(i64::MAX) }
    }
}

impl Labels {
    pub fn of(info: &ProcessInfo, cgroup: Option<&Path>, workload: Option<&Workload>) -> Labels {
        let mut cells = Cells::default();
        cells.integer(Column::Pid, u64::from(info.pid));
        cells.integer(Column::StartTime, info.start_time_ns);
        cells.text(Column::Comm, info.comm.as_ref());
        cells.text(Column::Exe, info.exe.as_ref());
        cells.text(Column::Release, info.release.as_ref());
        cells.text(Column::GoVersion, info.go.as_ref().map(|go| &go.version));
        cells.text(Column::CgroupPath, cgroup.map(Path::to_string_lossy));
        cells.text(Column::Workload, workload.map(|workload| &workload.name));
        cells.text(Column::WorkloadBy, workload.map(|workload| workload.by.name()));
        let names = workload.and_then(|workload| workload.names.as_ref());
        cells.text(Column::Namespace, names.and_then(|names| names.namespace.as_ref()));
        cells.text(Column::Pod, names.and_then(|names| names.pod.as_ref()));
        cells.text(Column::Container, names.and_then(|names| names.container.as_ref()));
        Labels(Arc::new(cells))
    }

    /// Of a victim that nobody watches any more.
    fn of_victim(document: &Document) -> Labels {
        let (victim, mut cells) = (&document.victim, Cells::default());
        cells.integer(Column::Pid, victim.pid.map(u64::from));
        cells.integer(Column::StartTime, victim.start_time_ns);
        cells.text(Column::Comm, victim.comm.as_ref());
        cells.text(Column::Exe, victim.exe.as_ref());
        cells.text(Column::GoVersion, victim.go_version.as_ref());
        cells.text(Column::Workload, document.workload.as_ref().map(|workload| &workload.name));
        cells.text(Column::WorkloadBy, document.workload.as_ref().map(|workload| &workload.by));
        Labels(Arc::new(cells))
    }
}

impl Row {
    fn new(kind: Kind, at: When, labels: Option<&Labels>, cells: Cells) -> Row {
        Row { kind, time_us: at.time_us, t_ns: at.t_ns, labels: labels.cloned(), cells }
    }

    pub fn sample(at: When, labels: &Labels, point: &Point) -> Row {
        let mut cells = Cells::default();
        cells.point(point);
        Row::new(Kind::Sample, at, Some(labels), cells)
    }

    /// `text` and `json`: as `trace` prints it. `None`: it is no event of `trace`.
    pub fn event(at: When, labels: &Labels, event: &Event, text: &str, json: &str) -> Option<Row> {
        let (family, op) = family_and_op(event)?;
        let mut cells = Cells::default();
        cells.text(Column::Family, Some(family));
        cells.text(Column::Op, Some(op));
        cells.integer(Column::Tid, event.meta().filter(|meta| meta.tid != 0).map(|meta| u64::from(meta.tid)));
        cells.text(Column::Text, Some(text.trim_end()));
        cells.text(Column::Json, Some(json.trim_end()));
        match event {
            Event::Advise(event) => call(&mut cells, &event.call),
            Event::Map(event) => call(&mut cells, &event.call),
            Event::Reclaim(event) => cells.integer(Column::Duration, event.duration_ns),
            _ => {}
        }
        Some(Row::new(Kind::Event, at, Some(labels), cells))
    }

    pub fn ledger(at: When, labels: &Labels, of: &ProcessSnapshot) -> Row {
        let mut cells = Cells::default();
        cells.signal(Signal::Returned, of.returned_bytes);
        cells.signal(Signal::Refaulted, of.refaulted_bytes);
        cells.signal(Signal::Lazy, of.lazy_bytes);
        cells.signal(Signal::Faults, of.faults);
        cells.signal(Signal::ReclaimStall, of.reclaim_stall_ns);
        cells.integer(Column::Kept, of.kept_bytes);
        cells.integer(Column::Untracked, of.untracked_bytes);
        cells.integer(Column::UnseenFaults, of.unseen_faults);
        cells.integer(Column::ReclaimStalls, of.reclaim_stalls);
        let named = |name: &str| of.advise.iter().find(|(known, _)| known == name).map(|(_, call)| call);
        let gives_back = (0..i32::from(u8::MAX)).filter(|kind| advice::unmaps(*kind) || *kind == advice::FREE);
        let advised = gives_back.filter_map(advice::name).filter_map(named).map(|call| call.asked_bytes);
        cells.integer(Column::Advised, advised.sum::<u64>());
        let dontneed = advice::name(advice::DONTNEED).and_then(named);
        cells.integer(Column::DontneedCalls, dontneed.map_or(0, |call| call.calls));
        cells.integer(Column::DontneedUnmapped, dontneed.map_or(Some(0), |call| call.unmapped_bytes));
        cells.integer(Column::FreeCalls, advice::name(advice::FREE).and_then(named).map_or(0, |call| call.calls));
        cells.integer(Column::MunmapCalls, of.munmap.calls);
        cells.integer(Column::MunmapUnmapped, of.munmap.unmapped_bytes);
        let refault = of.time_to_refault.as_ref();
        cells.integer(Column::RefaultP50, refault.and_then(|time| time.p50_ns));
        cells.integer(Column::RefaultP99, refault.and_then(|time| time.p99_ns));
        let exit = of.exit.as_ref();
        cells.integer(Column::ExitCode, exit.and_then(|exit| exit.code).map(u64::from));
        cells.integer(Column::ExitSignal, exit.and_then(|exit| exit.signal).map(u64::from));
        Row::new(Kind::Ledger, at, Some(labels), cells)
    }

    /// `json`: all of the document.
    pub fn oom(at: When, labels: Option<&Labels>, document: &Document, json: &str) -> Row {
        let mut cells = Cells::default();
        cells.text(Column::Dossier, Some(&document.id));
        cells.text(Column::Trigger, Some(&document.trigger));
        cells.text(Column::Cause, Some(&document.cause));
        cells.text(Column::Verdict, Some(&document.verdict.pattern));
        cells.text(Column::Json, Some(json.trim_end()));
        let victim = Labels::of_victim(document);
        Row::new(Kind::Oom, at, Some(labels.unwrap_or(&victim)), cells)
    }

    /// One for each bucket.
    pub fn waterfall(at: When, labels: &Labels, of: &Waterfall) -> Vec<Row> {
        let buckets = of.buckets.iter().map(|bucket| (bucket.name, bucket.bytes));
        let row = |(name, bytes)| {
            let mut cells = Cells::default();
            cells.text(Column::Bucket, Some(name));
            cells.integer(Column::BucketBytes, bytes);
            Row::new(Kind::Waterfall, at, Some(labels), cells)
        };
        buckets.chain([("unknown", of.unknown_bytes)]).map(row).collect()
    }

    /// One for each program, and one for the user side.
    pub fn account(at: When, of: &Account, dropped_rows: u64) -> Vec<Row> {
        let programs = of.programs.iter().map(|program| {
            let mut cells = Cells::default();
            cells.text(Column::Probe, Some(&program.name));
            cells.integer(Column::Hits, program.hits);
            cells.integer(Column::Filtered, program.filtered);
            cells.integer(Column::Summed, program.summed);
            cells.integer(Column::Submitted, program.submitted);
            cells.integer(Column::RingFull, program.ring_full);
            cells.integer(Column::ReadFailed, program.read_failed);
            cells
        });
        let mut own = Cells::default();
        own.integer(Column::Received, of.received);
        own.integer(Column::Decoded, of.decoded);
        own.integer(Column::Shed, of.shed);
        own.integer(Column::DecodeErrors, of.decode_errors);
        own.integer(Column::DroppedRows, dropped_rows);
        programs.chain([own]).map(|cells| Row::new(Kind::Account, at, None, cells)).collect()
    }
}

fn call(cells: &mut Cells, call: &Call) {
    cells.integer(Column::Length, call.length_bytes);
    cells.signed(Column::Result, call.result);
    cells.integer(Column::Duration, call.duration_ns);
    cells.integer(Column::Unmapped, call.unmapped_bytes);
    cells.signal(Signal::HeapInuse, call.go.as_ref().map(|go| go.heap_inuse_bytes));
    cells.signal(Signal::HeapReleased, call.go.as_ref().map(|go| go.heap_released_bytes));
}
