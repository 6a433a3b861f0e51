mod bounds;
mod property;
mod sums;

use super::*;
use crate::event::*;
use crate::snapshot::*;
use memtrace_common::advice;
use memtrace_common::refault::BUCKETS;

const PAGE: u64 = 4096;

fn meta(target: TargetId, t_ns: u64) -> Meta {
    Meta { t_ns, tgid: 1000 + target, tid: 1000 + target, target, cpu: 0 }
}

fn call(pages: u64, unmapped_pages: u64) -> Call {
    Call {
        address: 0x7000_0000,
        length_bytes: pages * PAGE,
        result: 0,
        duration_ns: 100,
        rss_before_bytes: None,
        rss_after_bytes: None,
        resident_bytes: None,
        unmapped_bytes: Some(unmapped_pages * PAGE),
        freed_bytes: None,
        approximate: false,
        go: None,
        stack_id: None,
    }
}

fn advise(target: TargetId, t_ns: u64, advice: i32, call: Call) -> Event {
    Event::Advise(AdviseEvent { meta: meta(target, t_ns), call, advice, process_madvise: false })
}

fn map(target: TargetId, t_ns: u64, op: MapOp, call: Call) -> Event {
    let (new_length_bytes, brk_delta_bytes) = (None, None);
    Event::Map(MapEvent { meta: meta(target, t_ns), call, op, new_length_bytes, brk_delta_bytes, prot: 3, flags: 0 })
}

fn task(target: TargetId, t_ns: u64, what: TaskWhat, name: &str) -> Event {
    let mut comm = [0; 16];
    comm[..name.len()].copy_from_slice(name.as_bytes());
    let (start_boottime_ns, cgroup_v1_id, cgroup_v2_id) = (Some(5), None, None);
    Event::Task(TaskEvent {
        meta: meta(target, t_ns),
        what,
        start_boottime_ns,
        comm,
        cgroup_v1_id,
        cgroup_v2_id,
        go: None,
    })
}

fn exit(target: TargetId, t_ns: u64, status: i32) -> Event {
    task(target, t_ns, TaskWhat::Exit { status, rss_bytes: Some(7 * PAGE) }, "app")
}

fn oom(target: TargetId, t_ns: u64) -> Event {
    let what = OomWhat::Kill { cgroup_v1_id: None, cgroup_v2_id: None };
    Event::Oom(OomEvent { meta: meta(target, t_ns), allocator_tgid: 1, what, go: None })
}

fn refaults(dontneed_pages: u64) -> Refaults {
    let mut log2_ns = [0; BUCKETS];
    log2_ns[10] = dontneed_pages;
    Refaults { bytes: [dontneed_pages * PAGE, 0, 0, 0], log2_ns, max_ns: 2000, untracked_bytes: 0 }
}

fn sample(target: TargetId, t_ns: u64) -> ProcessSample {
    ProcessSample { target, t_ns, ..ProcessSample::default() }
}

fn observed(sample: ProcessSample) -> Event {
    Event::Sample(Box::new(sample))
}

fn aggregator(max_processes: usize) -> Aggregator {
    Aggregator::new(AggregateConfig { start_ns: 0, max_processes })
}

fn apply_all(events: &[Event]) -> Aggregator {
    let mut a = aggregator(4096);
    a.register(ProcessInfo { target: 1, pid: 1001, comm: Some("app".into()), ..ProcessInfo::default() });
    events.iter().for_each(|event| a.apply(event));
    a
}

fn one(events: &[Event]) -> ProcessSnapshot {
    let mut processes = apply_all(events).finish(1, Account::default()).processes;
    assert_eq!(processes.len(), 1);
    processes.remove(0)
}

fn row<'a>(p: &'a ProcessSnapshot, name: &str) -> &'a CallSnapshot {
    &p.advise.iter().find(|(n, _)| n == name).unwrap().1
}

#[test]
fn the_ledger_counts_each_kind_exactly() {
    let half = Call { result: -12, ..call(8, 3) };
    let p = one(&[
        advise(1, 1, advice::DONTNEED, call(10, 10)),
        advise(1, 2, advice::DONTNEED, call(10, 4)),
        advise(1, 3, advice::DONTNEED, half),
        advise(1, 4, advice::DONTNEED, Call { result: -22, duration_ns: 900, ..call(1, 0) }),
        advise(1, 5, advice::FREE, Call { resident_bytes: Some(6 * PAGE), ..call(6, 0) }),
        advise(1, 6, 77, call(1, 0)),
        map(1, 7, MapOp::Munmap, Call { approximate: true, ..call(20, 5) }),
        map(1, 8, MapOp::Mmap, call(64, 0)),
        map(1, 9, MapOp::Mmap, Call { result: -12, ..call(64, 0) }),
    ]);
    let dontneed = row(&p, "dontneed");
    assert_eq!((dontneed.calls, dontneed.failed_calls, dontneed.asked_bytes), (4, 2, 20 * PAGE));
    assert_eq!(
        (dontneed.unmapped_bytes, dontneed.freed_bytes, dontneed.refaulted_bytes),
        (Some(17 * PAGE), None, None)
    );
    let expected = LatencySnapshot { p50_ns: 100, p90_ns: 900, p99_ns: 900, max_ns: 900 };
    assert_eq!(dontneed.latency, Some(expected));
    assert_eq!((row(&p, "free").asked_bytes, row(&p, "free").unmapped_bytes), (6 * PAGE, Some(0)));
    assert_eq!(row(&p, "advice_77").calls, 1);
    assert_eq!((p.munmap.calls, p.munmap.asked_bytes, p.munmap.approximate_calls), (1, 20 * PAGE, 1));
    assert_eq!((p.mmap.calls, p.mmap.failed_calls, p.mmap.grown_bytes), (2, 1, 64 * PAGE));
    assert_eq!((p.returned_bytes, p.returned_by), (Some(22 * PAGE), Some(ReturnedBy::Unmapped)));
    // failed calls are outside the ratio; MADV_FREE asked 6 resident pages and returned none
    assert_eq!(p.effectiveness_ratio, Some(19.0 / 25.0));
    assert_eq!((p.refaulted_bytes, p.kept_bytes), (None, None));
}

#[test]
fn freed_wins_where_it_was_measured() {
    let thp = Call { freed_bytes: Some(0), resident_bytes: Some(8 * PAGE), ..call(8, 8) };
    let p = one(&[advise(1, 1, advice::DONTNEED, thp)]);
    assert_eq!((p.returned_bytes, p.returned_by), (Some(0), Some(ReturnedBy::Freed)));
    assert_eq!((row(&p, "dontneed").unmapped_bytes, row(&p, "dontneed").freed_bytes), (Some(8 * PAGE), Some(0)));
    assert_eq!(p.effectiveness_ratio, Some(0.0));
    let p = one(&[advise(1, 1, advice::DONTNEED, thp), advise(1, 2, advice::DONTNEED, call(2, 2))]);
    assert_eq!((p.returned_bytes, p.returned_by), (Some(2 * PAGE), Some(ReturnedBy::Mixed)));
}

#[test]
fn advice_that_keeps_pages_returns_nothing_whatever_the_rss_did() {
    let p = one(&[advise(1, 1, 22, call(8, 3)), advise(1, 2, 25, call(8, 3))]);
    assert_eq!((p.returned_bytes, p.effectiveness_ratio), (Some(0), None));
    assert_eq!(row(&p, "collapse").unmapped_bytes, Some(3 * PAGE));
}

#[test]
fn what_could_not_be_measured_is_absent_and_said() {
    let p = one(&[advise(1, 1, advice::DONTNEED, Call { unmapped_bytes: None, ..call(8, 0) })]);
    assert_eq!((p.returned_bytes, p.returned_by, p.effectiveness_ratio), (None, None, None));
    assert_eq!(row(&p, "dontneed").unmeasured_calls, 1);
    assert_eq!(p.notes.len(), 1);
    assert_eq!(one(&[exit(1, 1, 0)]).returned_bytes, Some(0));
}

#[test]
fn a_sample_that_was_overtaken_by_the_last_figures_takes_nothing_back() {
    let mut a = apply_all(&[advise(1, 10, advice::DONTNEED, call(10, 10))]);
    for (faults, pages) in [(70, 7), (50, 4)] {
        a.apply(&observed(ProcessSample { faults: Some(faults), refaults: Some(refaults(pages)), ..sample(1, 11) }));
    }
    let p = a.finish(50, Account::default()).processes.remove(0);
    assert_eq!((p.refaulted_bytes, p.faults), (Some(7 * PAGE), Some(70)));
}

#[test]
fn intervals_are_differences_and_the_summary_is_the_whole() {
    let mut a = apply_all(&[advise(1, 10, advice::DONTNEED, call(10, 10))]);
    a.apply(&observed(ProcessSample { faults: Some(50), refaults: Some(refaults(4)), ..sample(1, 11) }));
    let first = a.tick(20, Account::default()).processes.remove(0);
    assert_eq!(
        (first.returned_bytes, first.refaulted_bytes, first.faults),
        (Some(10 * PAGE), Some(4 * PAGE), Some(50))
    );
    a.apply(&observed(ProcessSample { faults: Some(70), refaults: Some(refaults(7)), ..sample(1, 30) }));
    let snapshot = a.tick(40, Account::default());
    assert_eq!((snapshot.kind, snapshot.since_ns, snapshot.t_ns), (SnapshotKind::Interval, 20, 40));
    let second = &snapshot.processes[0];
    assert_eq!((second.returned_bytes, second.refaulted_bytes, second.faults), (Some(0), Some(3 * PAGE), Some(20)));
    assert_eq!((row(second, "dontneed").calls, row(second, "dontneed").refaulted_bytes), (0, Some(3 * PAGE)));
    let whole = a.finish(50, Account::default());
    assert_eq!((whole.kind, whole.since_ns), (SnapshotKind::Summary, 0));
    let p = &whole.processes[0];
    assert_eq!((p.refaulted_bytes, p.kept_bytes, p.faults), (Some(7 * PAGE), Some(3 * PAGE), Some(70)));
    assert_eq!((row(p, "dontneed").refaulted_bytes, p.munmap.refaulted_bytes), (Some(7 * PAGE), Some(0)));
    let time = p.time_to_refault.unwrap();
    assert_eq!((time.count_pages, time.max_ns, time.within_1s_ratio), (7, Some(2000), Some(1.0)));
}

#[test]
fn rss_and_heap_remember_start_peak_and_end() {
    let go = |inuse, free, released| GoCounters {
        heap_inuse_bytes: inuse,
        heap_released_bytes: released,
        heap_free_bytes: free,
        total_alloc_bytes: 0,
        total_free_bytes: 0,
        mapped_ready_bytes: 0,
    };
    let rss = |before, after, go| Call {
        rss_before_bytes: Some(before),
        rss_after_bytes: Some(after),
        go: Some(go),
        duration_ns: 1,
        ..call(1, 1)
    };
    let heap = GoHeap { inuse_bytes: 90, idle_bytes: 40, released_bytes: 30 };
    let mut events = vec![
        observed(ProcessSample { rss_bytes: Some(300), rss_peak_bytes: Some(9000), ..sample(1, 10) }),
        advise(1, 20, 4, rss(500, 400, go(100, 10, 5))),
        advise(1, 30, 4, rss(450, 200, go(80, 50, 30))),
        observed(ProcessSample { rss_bytes: Some(250), rss_peak_bytes: Some(9000), go: Some(heap), ..sample(1, 40) }),
    ];
    let p = one(&events);
    let span =
        |start, peak, end| SpanSnapshot { start_bytes: Some(start), peak_bytes: Some(peak), end_bytes: Some(end) };
    assert_eq!(p.rss, span(300, 500, 250), "a life-time peak of before says nothing");
    let got = p.heap.unwrap();
    assert_eq!((got.inuse, got.idle, got.released), (span(100, 100, 90), span(15, 80, 40), span(5, 30, 30)));
    assert_eq!((p.retained_idle_bytes, p.gap_bytes), (Some(10), Some(160)));
    events.push(observed(ProcessSample { rss_bytes: Some(260), rss_peak_bytes: Some(9500), ..sample(1, 50) }));
    assert_eq!(one(&events).rss, span(300, 9500, 260), "but it grew meanwhile");
}

#[test]
fn brk_and_mremap_count_both_ways() {
    let brk = |result: i64, asked: u64, delta| {
        Event::Map(MapEvent {
            meta: meta(1, 1),
            call: Call { address: asked, result, ..call(0, 0) },
            op: MapOp::Brk,
            new_length_bytes: None,
            brk_delta_bytes: Some(delta),
            prot: 0,
            flags: 0,
        })
    };
    let mut mremap = map(1, 1, MapOp::Mremap, call(4, 0));
    if let Event::Map(e) = &mut mremap {
        e.new_length_bytes = Some(6 * PAGE);
    }
    let p = one(&[brk(900, 0, 0), brk(1000, 1000, 100), brk(970, 970, -30), brk(970, 5000, 0), mremap]);
    let expected = GrowthSnapshot { calls: 4, failed_calls: 1, grown_bytes: 100, shrunk_bytes: 30 };
    assert_eq!(p.brk, expected);
    assert_eq!((p.mremap.calls, p.mremap.grown_bytes), (1, 2 * PAGE));
}

#[test]
fn fork_exec_exit_is_one_process_with_its_last_name() {
    let mut a = aggregator(10);
    a.apply(&task(2, 1, TaskWhat::Fork { parent_tgid: 1 }, "sh"));
    a.apply(&map(2, 2, MapOp::Munmap, call(2, 2)));
    a.apply(&task(2, 3, TaskWhat::Exec { rss_bytes: Some(100) }, "server"));
    let go = GoBuild { version: "go1.26.0".into(), read_by: Some(ReadBy::Dwarf) };
    a.register(ProcessInfo {
        target: 2,
        pid: 1002,
        exe: Some("/bin/server".into()),
        go: Some(go),
        ..Default::default()
    });
    a.apply(&map(2, 4, MapOp::Munmap, call(3, 3)));
    a.apply(&exit(2, 5, 3 << 8));
    let p = a.finish(6, Account::default()).processes.remove(0);
    assert_eq!((p.pid, p.start_time_ns, p.munmap.asked_bytes), (Some(1002), Some(5), 5 * PAGE));
    assert_eq!((p.comm.as_deref(), p.exe.as_deref()), (Some("app"), Some("/bin/server")));
    assert_eq!(p.exit, Some(ExitSnapshot { code: Some(3), signal: None, killed_by: None }));
    assert_eq!(a.tick(7, Account::default()).processes.len(), 1, "its end is part of this interval");
    assert_eq!(a.tick(8, Account::default()).processes.len(), 0, "and of no later one");
    assert_eq!(a.finish(9, Account::default()).processes.len(), 1);
}

#[test]
fn a_program_that_was_gone_before_it_could_be_asked_has_not_the_path_of_the_one_before() {
    let mut a = aggregator(4096);
    let info =
        |exe: Option<&str>| ProcessInfo { target: 2, pid: 1002, exe: exe.map(str::to_owned), ..Default::default() };
    a.register(info(Some("/bin/sh")));
    a.apply(&task(2, 3, TaskWhat::Exec { rss_bytes: None }, "server"));
    a.register(info(None));
    let p = a.finish(6, Account::default()).processes.remove(0);
    assert_eq!((p.comm.as_deref(), p.exe.as_deref()), (Some("server"), None));
}

#[test]
fn an_oom_kill_is_known_in_either_order() {
    for events in [[oom(1, 1), exit(1, 2, 9)], [exit(1, 2, 9), oom(1, 1)]] {
        let p = one(&events);
        assert!(p.oom_killed);
        assert_eq!(p.exit, Some(ExitSnapshot { code: None, signal: Some(9), killed_by: Some(KilledBy::Oom) }));
        assert_eq!(p.rss.end_bytes, Some(7 * PAGE));
    }
    assert_eq!((one(&[oom(1, 1)]).oom_killed, one(&[oom(1, 1)]).exit), (true, None));
}

#[test]
fn a_kill_names_its_sender() {
    let kill = task(1, 1, TaskWhat::Kill { sender_tgid: 42, si_code: 0 }, "kubelet");
    let p = one(&[kill.clone(), exit(1, 2, 9)]);
    let by = Some(KilledBy::Process { pid: 42, comm: "kubelet".into() });
    assert_eq!(p.exit, Some(ExitSnapshot { code: None, signal: Some(9), killed_by: by }));
    assert_eq!((p.oom_killed, p.comm.as_deref()), (false, Some("app")));
    // it ended by itself before the signal arrived
    assert_eq!(one(&[kill, exit(1, 2, 0)]).exit, Some(ExitSnapshot { code: Some(0), signal: None, killed_by: None }));
}

#[test]
fn events_of_nobody_known_still_count_and_pids_never_mix() {
    let mut a = aggregator(10);
    a.apply(&map(7, 1, MapOp::Munmap, call(1, 1)));
    let mut reused = map(8, 2, MapOp::Munmap, call(2, 2));
    if let Event::Map(e) = &mut reused {
        e.meta.tgid = 1007;
    }
    a.apply(&reused);
    let mut elsewhere = oom(0, 3);
    if let Event::Oom(e) = &mut elsewhere {
        e.meta.tgid = 55;
    }
    a.apply(&elsewhere);
    a.apply(&oom(0, 4));
    let got = a.finish(5, Account::default()).processes;
    let got: Vec<_> = got.iter().map(|p| (p.target, p.pid, p.munmap.calls, p.oom_killed)).collect();
    assert_eq!(
        got,
        [(0, Some(55), 0, true), (0, Some(1000), 0, true), (7, Some(1007), 1, false), (8, Some(1007), 1, false)]
    );
}
