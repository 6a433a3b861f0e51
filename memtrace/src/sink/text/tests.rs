use super::*;
use crate::account::{Account, ProgramAccount};
use crate::event::*;
use crate::sink::{Frame, TraceLine};
use crate::snapshot::*;
use memtrace_common::advice;

const MIB: u64 = 1 << 20;
const PLAIN: Style = Style { color: false };

fn span(start: u64, peak: u64, end: u64) -> SpanSnapshot {
    SpanSnapshot { start_bytes: Some(start), peak_bytes: Some(peak), end_bytes: Some(end) }
}

fn program(name: &str, hits: u64, ring_full: u64, read_failed: u64) -> ProgramAccount {
    let filtered = hits / 2;
    let submitted = hits - filtered - ring_full - read_failed;
    ProgramAccount { name: name.into(), hits, filtered, summed: 0, submitted, ring_full, read_failed }
}

fn account() -> Account {
    let programs = vec![program("madvise_exit", 40, 0, 0), program("munmap_exit", 20, 0, 0)];
    Account { programs, received: 30, shed: 0, decoded: 30, decode_errors: 0, skipped_runs: None, exported: None }
}

fn service() -> ProcessSnapshot {
    let latency = |p50_ns, p99_ns| Some(LatencySnapshot { p50_ns, p90_ns: p99_ns, p99_ns, max_ns: p99_ns });
    let dontneed = CallSnapshot {
        calls: 12,
        failed_calls: 1,
        asked_bytes: 64 * MIB,
        unmapped_bytes: Some(48 * MIB),
        refaulted_bytes: Some(12 * MIB),
        approximate_calls: 2,
        latency: latency(120_000, 1_234_567),
        ..CallSnapshot::default()
    };
    let hugepage = CallSnapshot { calls: 3, asked_bytes: 4 * MIB, latency: latency(900, 2_000), ..Default::default() };
    let munmap = CallSnapshot {
        calls: 2,
        asked_bytes: 65_536,
        unmapped_bytes: Some(8_192),
        refaulted_bytes: Some(0),
        latency: latency(5_000, 6_000),
        ..CallSnapshot::default()
    };
    ProcessSnapshot {
        target: 3,
        pid: Some(4242),
        start_time_ns: Some(99),
        comm: Some("allocd".into()),
        exe: Some("/srv/bin/allocd".into()),
        go: Some(GoBuild { version: "go1.26.0".into(), read_by: Some(ReadBy::Dwarf) }),
        processes: 1,
        advise: vec![("dontneed".into(), dontneed), ("hugepage".into(), hugepage)],
        munmap,
        mmap: GrowthSnapshot { calls: 7, failed_calls: 0, grown_bytes: 128 * MIB, shrunk_bytes: 0 },
        brk: GrowthSnapshot { calls: 4, failed_calls: 0, grown_bytes: 135_168, shrunk_bytes: 4096 },
        returned_bytes: Some(48 * MIB + 8192),
        returned_by: Some(ReturnedBy::Unmapped),
        refaulted_bytes: Some(12 * MIB),
        untracked_bytes: Some(0),
        kept_bytes: Some(36 * MIB + 8192),
        lazy_bytes: Some(0),
        effectiveness_ratio: Some(0.98),
        time_to_refault: Some(TimeToRefault {
            count_pages: 3072,
            p50_ns: Some(1_500_000),
            p90_ns: Some(900_000_000),
            p99_ns: Some(2_000_000_000),
            max_ns: Some(2_500_000_000),
            within_1s_ratio: Some(0.93),
        }),
        rss: span(90 * MIB, 180 * MIB, 100 * MIB),
        heap: Some(HeapSnapshot {
            inuse: span(60 * MIB, 150 * MIB, 40 * MIB),
            idle: span(10 * MIB, 120 * MIB, 80 * MIB),
            released: span(0, 70 * MIB, 70 * MIB),
        }),
        retained_idle_bytes: Some(10 * MIB),
        gap_bytes: Some(60 * MIB as i64),
        faults: Some(52_000),
        reclaim_stalls: 2,
        reclaim_stall_ns: 3_400_000,
        ..ProcessSnapshot::default()
    }
}

fn snapshot(kind: SnapshotKind, processes: Vec<ProcessSnapshot>) -> Snapshot {
    let (account, pressure, notes) = (account(), Vec::new(), Vec::new());
    Snapshot { kind, t_ns: 16_000_000_000, since_ns: 1_000_000_000, processes, pressure, account, notes }
}

fn text(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn summary(processes: Vec<ProcessSnapshot>) -> String {
    text(|out| write_summary(out, PLAIN, &snapshot(SnapshotKind::Summary, processes)))
}

fn interval(processes: Vec<ProcessSnapshot>) -> String {
    text(|out| IntervalText::new(PLAIN, 1_000_000_000).write(out, &snapshot(SnapshotKind::Interval, processes)))
}

fn widest(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

fn extreme() -> ProcessSnapshot {
    let call = |_: &CallSnapshot| CallSnapshot {
        calls: u64::MAX,
        failed_calls: u64::MAX,
        asked_bytes: u64::MAX,
        unmapped_bytes: Some(u64::MAX),
        freed_bytes: Some(u64::MAX),
        refaulted_bytes: Some(u64::MAX),
        approximate_calls: u64::MAX,
        unmeasured_calls: 0,
        resident_before_bytes: Some(u64::MAX),
        latency: Some(LatencySnapshot { p50_ns: u64::MAX, p90_ns: u64::MAX, p99_ns: u64::MAX, max_ns: u64::MAX }),
    };
    let max = span(u64::MAX, u64::MAX, u64::MAX);
    let growth =
        GrowthSnapshot { calls: u64::MAX, failed_calls: u64::MAX, grown_bytes: u64::MAX, shrunk_bytes: 1023 * MIB };
    let mut p = service();
    p.pid = Some(4_194_304);
    p.comm = Some("a name far longer than any".into());
    p.exe = Some("/x".repeat(300));
    p.go = Some(GoBuild { version: "go1.27-devel_0123456789abcdef".repeat(3), read_by: Some(ReadBy::Dwarf) });
    p.advise = ["dontneed_locked", "advice_-2147483648", "dontneed"].map(|n| (n.into(), call(&p.munmap))).into();
    (p.munmap, p.mmap, p.mremap, p.brk) = (call(&p.munmap), growth, growth, growth);
    (p.returned_bytes, p.returned_by) = (Some(u64::MAX), Some(ReturnedBy::Mixed));
    (p.kept_bytes, p.lazy_bytes, p.refaulted_bytes) = (Some(u64::MAX), Some(u64::MAX), Some(u64::MAX));
    p.time_to_refault = Some(TimeToRefault {
        count_pages: u64::MAX,
        p50_ns: Some(u64::MAX),
        p90_ns: Some(u64::MAX),
        p99_ns: Some(u64::MAX),
        max_ns: Some(u64::MAX),
        within_1s_ratio: Some(0.99999),
    });
    (p.rss, p.heap) = (max, Some(HeapSnapshot { inuse: max, idle: max, released: max }));
    (p.retained_idle_bytes, p.gap_bytes, p.faults) = (Some(u64::MAX), Some(i64::MIN), Some(u64::MAX));
    (p.reclaim_stalls, p.reclaim_stall_ns, p.oom_killed) = (u64::MAX, u64::MAX, true);
    let by = Some(KilledBy::Process { pid: 4_194_304, comm: "x".repeat(200) });
    p.exit = Some(ExitSnapshot { code: None, signal: Some(9), killed_by: by });
    p.notes = vec!["word ".repeat(80)];
    p
}

/// Not a Go process, no faults tracked, nothing done.
fn unknown() -> ProcessSnapshot {
    ProcessSnapshot { target: 8, pid: Some(9), processes: 1, returned_bytes: Some(0), ..ProcessSnapshot::default() }
}

/// GODEBUG=madvdontneed=0, then the OOM killer.
fn killed() -> ProcessSnapshot {
    let free = CallSnapshot { calls: 5, asked_bytes: 32 * MIB, unmapped_bytes: Some(0), ..CallSnapshot::default() };
    ProcessSnapshot {
        target: 9,
        pid: Some(77),
        comm: Some("leaky".into()),
        processes: 1,
        advise: vec![("free".into(), free)],
        returned_bytes: Some(0),
        lazy_bytes: Some(30 * MIB),
        effectiveness_ratio: Some(0.0),
        rss: span(MIB, 512 * MIB, 512 * MIB),
        oom_killed: true,
        exit: Some(ExitSnapshot { code: None, signal: Some(9), killed_by: Some(KilledBy::Oom) }),
        ..ProcessSnapshot::default()
    }
}

fn lossy() -> Account {
    let programs = vec![program("madvise_exit", 400, 60, 3), program("munmap_exit", 20, 0, 0)];
    Account { programs, received: 147, shed: 5, decoded: 141, decode_errors: 1, skipped_runs: None, exported: None }
}

fn lost() -> String {
    text(|out| write_account(out, PLAIN, &lossy()))
}

#[test]
fn text_is_as_blessed() {
    let cases = [
        (interval(vec![service(), unknown()]), include_str!("golden/interval.txt")),
        (summary(vec![service()]), include_str!("golden/service.txt")),
        (summary(vec![unknown()]), include_str!("golden/unknown.txt")),
        (summary(vec![killed()]), include_str!("golden/oom.txt")),
        (trace_text(), include_str!("golden/trace.txt")),
        (lost(), include_str!("golden/lost.txt")),
    ];
    for (got, expected) in cases {
        assert!(got == expected, "got:\n{got}\nexpected:\n{expected}");
    }
}

#[test]
fn a_crowd_is_cut_to_the_ones_that_returned_most_and_counted() {
    let crowd =
        |n: u64| (1..=n).map(|i| ProcessSnapshot { pid: Some(i as u32), returned_bytes: Some(i << 20), ..service() });
    let out = interval(crowd(25).collect());
    assert_eq!(out.lines().count(), 1 + 10 + 1, "{out}");
    assert!(out.lines().nth(1).is_some_and(|line| line.contains(" 25/allocd")), "{out}");
    assert!(out.ends_with("and 15 more, which returned 120 MiB\n"), "{out}");
    let out = summary(crowd(25).collect());
    assert!(out.contains("and 5 more, which returned 15.0 MiB (-o json has them all)"), "{out}");
}

#[test]
fn a_loss_is_said_once_when_it_happens() {
    let mut lines = IntervalText::new(PLAIN, 0);
    let mut at = snapshot(SnapshotKind::Interval, vec![service()]);
    at.account = lossy();
    let mut next = || text(|out| lines.write(out, &at));
    assert!(next().ends_with("!! 69 events lost so far\n"));
    assert!(!next().contains("lost"));
}

#[test]
fn a_victim_that_was_no_target_has_no_ledger() {
    let out = summary(vec![ProcessSnapshot { target: 0, exit: None, ..killed() }]);
    let expected =
        "77/leaky  not a target\n  OOM: the kernel's OOM killer chose this process; its end was not seen\n\n";
    assert!(out.contains(expected), "{out}");
}

#[test]
fn colour_is_only_paint() {
    let painted = text(|out| write_account(out, Style { color: true }, &lossy()));
    assert!(painted.starts_with("\x1b[1;31m!! LOST"));
    assert_eq!(painted.replace("\x1b[1;31m", "").replace("\x1b[0m", ""), lost());
}

#[test]
fn the_sentence_says_what_was_not_watched() {
    let p = ProcessSnapshot { refaulted_bytes: None, kept_bytes: None, time_to_refault: None, ..service() };
    let out = summary(vec![p]);
    assert!(out.contains("whether it came back was"), "{out}");
    let out = summary(vec![ProcessSnapshot { returned_bytes: None, ..service() }]);
    assert!(out.contains("what the kernel took could not be measured"), "{out}");
}

#[test]
fn the_sentence_says_what_came_back_inside_huge_pages() {
    let unseen = ProcessSnapshot { refaulted_bytes: Some(0), time_to_refault: None, ..service() };
    let reinflated = ProcessSnapshot { reinflated_bytes: Some(40 * MIB), ..unseen.clone() };
    let out = summary(vec![reinflated]).replace("\n     ", " ");
    assert!(out.contains("the kernel took ~48.0 MiB, 40.0 MiB came back inside huge pages"), "{out}");
    assert!(!out.contains("nothing came back"), "{out}");
    let out = summary(vec![ProcessSnapshot { reinflated_bytes: Some(0), ..unseen }]);
    assert!(out.contains("nothing came back"), "{out}");
}

fn trace_text() -> String {
    let mut out = Vec::new();
    let mut t = TraceText::new(PLAIN, 1_000_000_000);
    let meta = Meta { t_ns: 2_234_567_890, tgid: 4242, tid: 4250, target: 3, cpu: 0 };
    let go = GoCounters {
        heap_inuse_bytes: 40 * MIB,
        heap_released_bytes: 70 * MIB,
        heap_free_bytes: 0,
        total_alloc_bytes: 0,
        total_free_bytes: 0,
        mapped_ready_bytes: 0,
    };
    let call = Call {
        address: 0x00c0_0040_0000,
        length_bytes: 4 * MIB,
        result: 0,
        duration_ns: 123_456,
        rss_before_bytes: None,
        rss_after_bytes: None,
        resident_bytes: None,
        unmapped_bytes: Some(3 * MIB),
        freed_bytes: None,
        approximate: true,
        go: Some(go),
        stack_id: None,
    };
    let frames = [
        Frame {
            function: Some("runtime.sysUnusedOS".into()),
            file: Some("/usr/lib/go/src/runtime/mem_linux.go".into()),
            line: Some(85),
        },
        Frame { function: None, file: None, line: None },
    ];
    let advise = AdviseEvent { meta, call, advice: advice::DONTNEED, process_madvise: false };
    let failed = Call { result: -12, go: None, approximate: false, unmapped_bytes: None, ..call };
    let map = |op, call: Call, new, delta| MapEvent {
        meta,
        call,
        op,
        new_length_bytes: new,
        brk_delta_bytes: delta,
        prot: 3,
        flags: 0,
    };
    let task = |what| TaskEvent {
        meta,
        what,
        start_boottime_ns: None,
        comm: *b"kubelet\0\0\0\0\0\0\0\0\0",
        cgroup_v1_id: None,
        cgroup_v2_id: None,
        go: None,
    };
    let mut write = |event: Event, stack: Option<&[Frame]>| {
        t.write(&mut out, &TraceLine { event: &event, comm: Some("allocd"), stack, message: None }).unwrap();
    };
    write(Event::Advise(advise.clone()), Some(&frames));
    write(Event::Advise(AdviseEvent { call: failed, process_madvise: true, ..advise }), None);
    write(Event::Map(map(MapOp::Mmap, call, None, None)), None);
    write(Event::Map(map(MapOp::Mremap, call, Some(8 * MIB), None)), None);
    write(Event::Map(map(MapOp::Brk, Call { length_bytes: 0, ..call }, None, Some(135_168))), None);
    write(
        Event::Oom(OomEvent {
            meta,
            allocator_tgid: 7,
            what: OomWhat::Kill { cgroup_v1_id: None, cgroup_v2_id: None },
            go: None,
        }),
        None,
    );
    write(
        Event::Reclaim(ReclaimEvent {
            meta,
            memcg: true,
            duration_ns: 1_200_000,
            reclaimed_bytes: 131_072,
            order: None,
            cgroup_v1_id: None,
            cgroup_v2_id: None,
            go: None,
        }),
        None,
    );
    write(Event::Task(task(TaskWhat::Fork { parent_tgid: 1 })), None);
    write(Event::Task(task(TaskWhat::Kill { sender_tgid: 77, si_code: 0 })), None);
    let words = LastWords { meta, go: call.go, ranges: Vec::new() };
    write(Event::Words(Box::new(LastWords { go: None, ..words.clone() })), None);
    write(Event::Words(Box::new(words)), None);
    write(Event::Task(task(TaskWhat::Exit { status: 9, rss_bytes: Some(100 * MIB) })), None);
    String::from_utf8(out).unwrap()
}

#[test]
fn no_stat_line_is_wider_than_a_hundred_columns() {
    assert!(widest(&summary(vec![extreme()])) <= 100, "{}", summary(vec![extreme()]));
    let mut last = snapshot(SnapshotKind::Interval, vec![extreme()]);
    last.t_ns = u64::MAX;
    let out = text(|out| IntervalText::new(PLAIN, 0).write(out, &last));
    assert!(widest(&out) <= 100, "{out}");
}
