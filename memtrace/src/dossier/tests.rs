use super::*;
use crate::aggregate::ProcessInfo;
use crate::event::{
    Event, Level, MemoryEvents, Meta, OomEvent, PressureEvent, PressureTold, PressureWhat, ReclaimEvent, TaskEvent,
    TaskWhat,
};
use crate::timeline::{Signal, TimelineConfig};
use std::sync::Arc;

const S: u64 = 1_000_000_000;

fn meta(target: u32, t_ns: u64) -> Meta {
    Meta { t_ns, tgid: 1000 + target, tid: 1000 + target, target, cpu: 0 }
}

fn oom(target: u32, t_ns: u64) -> Event {
    let what = OomWhat::Kill { cgroup_v1_id: Some(7), cgroup_v2_id: None };
    Event::Oom(OomEvent { meta: meta(target, t_ns), allocator_tgid: 1, what, go: None })
}

fn task(target: u32, t_ns: u64, what: TaskWhat) -> Event {
    let (cgroup_v1_id, cgroup_v2_id) = (None, None);
    Event::Task(TaskEvent {
        meta: meta(target, t_ns),
        what,
        start_boottime_ns: None,
        comm: *b"victim\0\0\0\0\0\0\0\0\0\0",
        cgroup_v1_id,
        cgroup_v2_id,
        go: None,
    })
}

fn exit(target: u32, t_ns: u64, status: i32) -> Event {
    task(target, t_ns, TaskWhat::Exit { status, rss_bytes: None })
}

fn stall(t_ns: u64, reclaimed_bytes: u64) -> Event {
    stall_of(1, t_ns, reclaimed_bytes, true)
}

fn stall_of(target: u32, t_ns: u64, reclaimed_bytes: u64, memcg: bool) -> Event {
    let (duration_ns, order, cgroup_v1_id, cgroup_v2_id) = (5, None, None, None);
    let meta = meta(target, t_ns);
    Event::Reclaim(ReclaimEvent {
        meta,
        memcg,
        duration_ns,
        reclaimed_bytes,
        order,
        cgroup_v1_id,
        cgroup_v2_id,
        go: None,
    })
}

fn line(target: u32, is_before: bool) -> KernelLine {
    let text = if is_before { "oom-kill:constraint=CONSTRAINT_MEMCG" } else { "Memory cgroup out of memory" };
    KernelLine {
        pid: 1000 + target,
        sequence: 1,
        stamp_ns: if is_before { 100 } else { 300 },
        is_before,
        text: text.to_owned(),
    }
}

fn black_box(targets: u32, max_processes: usize) -> BlackBox {
    let triggers =
        vec![Trigger::Oom, Trigger::Kill, Trigger::Exit, Trigger::Fatal, Trigger::Headroom, Trigger::Command];
    let timeline = TimelineConfig::default();
    let mut black_box = BlackBox::new(BlackBoxConfig {
        start_ns: 0,
        timeline,
        max_processes,
        max_rss_bytes: None,
        triggers,
        headroom_percent: 5,
    });
    for target in 1..=targets {
        let info = ProcessInfo { target, pid: 1000 + target, ..ProcessInfo::default() };
        black_box.register(info);
        black_box.point(target, Point::at(S).with(Signal::Charge, 90).with(Signal::Limit, 100));
    }
    black_box
}

#[test]
fn a_line_of_the_log_is_found_whether_it_comes_before_the_kill_or_after_it() {
    let mut black_box = black_box(2, 10);
    black_box.kernel_line(line(1, true));
    assert_eq!(black_box.event(&oom(1, 2 * S)), Some(Need::Account), "its cgroup is looked at now");
    assert_eq!(black_box.event(&oom(1, 2 * S + 5)), None, "and once");
    black_box.kernel_line(line(2, true));
    black_box.event(&exit(1, 2 * S + 10, 9));
    black_box.kernel_line(line(1, false));
    assert!(black_box.beat(2 * S + 20).is_empty(), "what is still on its way is waited for");
    let done = black_box.beat(3 * S);
    let [dossier] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!((dossier.process.pid, dossier.trigger, dossier.cause), (Some(1001), Trigger::Oom, Cause::CgroupOom));
    assert_eq!(dossier.log, [line(1, true), line(1, false)]);
    let of_log = dossier.anchors.iter().find(|anchor| anchor.what.starts_with("kernel log")).unwrap();
    // Between both lines the log's clock went on by 200 ns.
    assert_eq!((of_log.t_ns, of_log.uncertainty_ns), (2 * S + 100, 100));
    assert_eq!((dossier.points.len(), black_box.watched()), (1, 1), "its timeline went with it");
}

#[test]
fn without_the_log_what_was_reclaimed_from_last_says_whose_memory_was_short() {
    let mut black_box = black_box(4, 10);
    for target in 1..=3 {
        black_box.point(target, Point::at(S + 1).with(Signal::Charge, 10).with(Signal::Limit, 100));
    }
    black_box.event(&stall_of(1, 2 * S, 0, true));
    black_box.event(&stall_of(2, 2 * S, 0, false));
    // Too long ago.
    black_box.event(&stall_of(3, S / 2, 0, true));
    for target in 1..=4 {
        black_box.event(&oom(target, 2 * S + u64::from(target)));
        black_box.event(&exit(target, 2 * S + 10, 9));
    }
    let causes: Vec<Cause> = black_box.beat(4 * S).iter().map(|dossier| dossier.cause).collect();
    assert_eq!(causes, [Cause::CgroupOom, Cause::GlobalOom, Cause::Oom, Cause::CgroupOom]);
}

#[test]
fn every_victim_has_a_dossier_of_its_own_and_a_clean_end_has_none() {
    const VICTIMS: u32 = 200;
    let mut black_box = black_box(VICTIMS + 1, 1000);
    for target in 1..=VICTIMS {
        assert_eq!(black_box.event(&oom(target, 2 * S + u64::from(target))), Some(Need::Account));
    }
    for target in (1..=VICTIMS).rev() {
        assert_eq!(black_box.event(&exit(target, 3 * S, 9)), None);
    }
    black_box.event(&exit(VICTIMS + 1, 3 * S, 0));
    let pids: Vec<_> = black_box.beat(4 * S).iter().filter_map(|dossier| dossier.process.pid).collect();
    assert_eq!(pids, (1..=VICTIMS).map(|target| 1000 + target).collect::<Vec<_>>());
    assert_eq!((black_box.watched(), black_box.finish().len()), (0, 0));
}

#[test]
fn a_kill_from_outside_is_not_the_kernels_and_a_victim_that_does_not_end_is_told_too() {
    let mut black_box = black_box(2, 10);
    assert_eq!(black_box.event(&task(1, 2 * S, TaskWhat::Kill { sender_tgid: 77, si_code: 0 })), Some(Need::Account));
    black_box.event(&exit(1, 2 * S, 9));
    black_box.event(&oom(2, 2 * S));
    let done = black_box.beat(3 * S);
    assert_eq!(done.iter().map(|of| (of.trigger, of.cause)).collect::<Vec<_>>(), [(Trigger::Kill, Cause::Killed)]);
    let late = black_box.beat(8 * S);
    assert_eq!(late.iter().map(|of| (of.process.pid, of.exit.is_none())).collect::<Vec<_>>(), [(Some(1002), true)]);
}

#[test]
fn one_that_was_not_meant_after_all_has_no_dossier() {
    let mut black_box = black_box(2, 10);
    black_box.event(&exit(1, 2 * S, 256));
    black_box.forget(1);
    assert_eq!(black_box.event(&exit(2, 2 * S, 256)), None);
    black_box.event(&exit(1, 2 * S, 256));
    let pids: Vec<_> = black_box.finish().iter().map(|of| of.process.pid).collect();
    assert_eq!(pids, [Some(1002)], "whether its end or the judgement came first");
}

#[test]
fn memory_that_is_short_is_looked_at_closer_and_told_in_the_dossier() {
    let mut black_box = black_box(1, 10);
    let told = PressureTold { t_ns: 2 * S, cgroup: None, what: PressureWhat::OutOfMemory, times: 1 };
    let pressure = |t_ns| {
        let meta = Meta { t_ns, tgid: 1001, tid: 0, target: 1, cpu: 0 };
        Event::Pressure(Box::new(PressureEvent { meta, told: Arc::new(told.clone()), go: None }))
    };
    assert_eq!(black_box.event(&pressure(2 * S)), Some(Need::Closer));
    assert_eq!(black_box.event(&pressure(2 * S + 1)), None, "not again at once");
    assert_eq!(black_box.event(&pressure(3 * S)), Some(Need::Closer));
    assert_eq!(black_box.event(&stall(3 * S + S / 2, 4096)), None, "there is something to reclaim");
    assert_eq!(black_box.event(&stall(3 * S + S / 2, 0)), Some(Need::Closer));
    black_box.event(&oom(1, 4 * S));
    let done = black_box.finish();
    assert_eq!((done[0].marks.len(), done[0].dropped_marks), (4, 0), "both stalls are one");
}

#[test]
fn page_cache_that_fills_a_cgroup_is_no_shortage() {
    let mut black_box = black_box(1, 10);
    let told = |t_ns, what, cgroup: Option<&str>| {
        let cgroup = cgroup.map(|at| Arc::from(std::path::Path::new(at)));
        let told = Arc::new(PressureTold { t_ns, cgroup, what, times: 1 });
        let meta = Meta { t_ns, tgid: 1001, tid: 0, target: 1, cpu: 0 };
        Event::Pressure(Box::new(PressureEvent { meta, told, go: None }))
    };
    let full = PressureWhat::Events(MemoryEvents { max: 1, ..MemoryEvents::default() });
    let at = Some("/a");
    assert_eq!(black_box.event(&told(2 * S, full, at)), Some(Need::Closer), "10 of 100 are left");
    let cached = |t_ns| Point::at(t_ns).with(Signal::Charge, 100).with(Signal::Limit, 100);
    black_box.point(1, cached(3 * S).with(Signal::CgroupInactiveFile, 50));
    assert_eq!(black_box.event(&told(4 * S, full, at)), None);
    assert_eq!(black_box.event(&told(4 * S, full, None)), Some(Need::Closer), "that of the host");
    black_box.point(1, cached(5 * S).with(Signal::CgroupInactiveFile, 49));
    assert_eq!(black_box.event(&told(6 * S, full, at)), Some(Need::Closer));
    assert_eq!(black_box.event(&told(7 * S, PressureWhat::Level(Level::Low), at)), None, "reclaim is no shortage");
    assert_eq!(black_box.event(&told(7 * S, PressureWhat::Level(Level::Medium), at)), Some(Need::Closer));
}

#[test]
fn what_a_runtime_says_as_it_ends_its_process_makes_one_dossier_however_long_the_end_takes() {
    let mut black_box = black_box(2, 10);
    for (target, message) in [(1, "boom"), (2, "runtime: out of memory: cannot allocate")] {
        let said = GoSaid {
            target,
            t_ns: 2 * S,
            what: if target == 1 { FatalWhat::Panic } else { FatalWhat::Throw },
            message: Some(message.to_owned()),
            stack: Vec::new(),
            counters: None,
        };
        assert_eq!(black_box.fatal(said.clone()), Some(Need::Account));
        assert_eq!(black_box.fatal(GoSaid { message: None, ..said }), None, "the first is the cause");
    }
    black_box.address_space(2, 1 << 30);
    black_box.event(&exit(1, 2 * S + 7, 2 << 8));
    let done = black_box.beat(3 * S);
    let [dossier] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!((dossier.trigger, dossier.cause), (Trigger::Fatal, Cause::Fatal));
    assert_eq!(dossier.said.as_ref().and_then(|said| said.message.as_deref()), Some("boom"));
    let anchors: Vec<_> = dossier.anchors.iter().map(|of| (of.what, of.t_ns, of.uncertainty_ns)).collect();
    assert_eq!(anchors, [("go: fatal error", 2 * S, 0), ("kernel: process exit", 2 * S + 7, 0)]);
    // Nobody reads the stacks that the other prints: it ends later than is waited for.
    let late = black_box.beat(8 * S);
    let [dossier] = late.as_slice() else { panic!("{late:?}") };
    assert_eq!((dossier.cause, dossier.exit.is_none()), (Cause::GoOutOfMemory, true));
    let evidence = &dossier.verdict.evidence[0];
    assert_eq!((evidence.value, evidence.t_ns), (Some(1 << 30), Some(2 * S)));
    black_box.event(&exit(2, 9 * S, 2 << 8));
    assert_eq!(black_box.finish().len(), 0);
}

#[test]
fn one_that_lives_is_written_down_when_little_is_left_and_when_asked_for() {
    let mut black_box = black_box(2, 10);
    let charged = |t_ns, charge, file| {
        let point = Point::at(t_ns).with(Signal::Charge, charge).with(Signal::Limit, 100);
        point.with(Signal::CgroupInactiveFile, file).with(Signal::CgroupActiveFile, 0)
    };
    black_box.point(1, charged(2 * S, 99, 50));
    assert!(black_box.finish().is_empty(), "half of it can be reclaimed");
    black_box.point(1, charged(3 * S, 96, 0));
    black_box.point(1, charged(4 * S, 97, 0));
    assert!(black_box.beat(3 * S + S / 4).is_empty(), "a close look is waited for");
    let done = black_box.beat(4 * S);
    let told: Vec<_> = done.iter().map(|of| (of.trigger, of.cause, of.t_ns, of.points.len())).collect();
    assert_eq!(told, [(Trigger::Headroom, Cause::Headroom, 3 * S, 3)]);
    black_box.point(1, charged(5 * S, 93, 0));
    black_box.point(1, charged(6 * S, 96, 0));
    assert!(black_box.finish().is_empty(), "it has not been well meanwhile");
    black_box.point(1, charged(7 * S, 80, 0));
    black_box.point(1, charged(8 * S, 96, 0));
    assert_eq!(black_box.beat(9 * S).len(), 1);
    assert_eq!(black_box.command(10 * S), [(1, 1001), (2, 1002)]);
    assert_eq!(black_box.command(10 * S), [], "they are being written down");
    let done = black_box.beat(11 * S);
    assert_eq!(done.iter().map(|of| of.trigger).collect::<Vec<_>>(), [Trigger::Command; 2]);
    assert_eq!(black_box.watched(), 2);
}

#[test]
fn one_that_dies_while_it_is_written_down_alive_is_told_once_and_dead() {
    let mut black_box = black_box(2, 10);
    black_box.command(2 * S);
    assert_eq!(black_box.event(&oom(1, 2 * S + 5)), Some(Need::Account));
    black_box.event(&exit(1, 2 * S + 9, 9));
    black_box.event(&exit(2, 2 * S + 9, 0));
    let done = black_box.beat(3 * S);
    let told: Vec<_> = done.iter().map(|of| (of.process.pid, of.trigger, of.t_ns)).collect();
    assert_eq!(told, [(Some(1001), Trigger::Oom, 2 * S + 5), (Some(1002), Trigger::Command, 2 * S)]);
    assert_eq!(black_box.watched(), 0, "both have ended");
}

#[test]
fn more_processes_than_there_is_room_for_are_said_and_still_told_of() {
    let mut black_box = black_box(3, 2);
    assert_eq!(black_box.watched(), 2);
    assert_eq!(black_box.notes(), ["1 points were not kept: more processes than have room"]);
    assert_eq!(black_box.present(S).without_timeline, 1);
    black_box.event(&oom(3, 2 * S));
    black_box.event(&exit(3, 2 * S, 9));
    assert_eq!(black_box.present(2 * S).without_timeline, 0, "it has ended");
    let done = black_box.finish();
    assert_eq!((done.len(), done[0].points.len(), done[0].process.pid), (1, 0, Some(1003)));
}

#[test]
fn the_present_is_of_those_that_live_and_are_meant() {
    let mut black_box = black_box(4, 3);
    black_box.event(&exit(1, 2 * S, 0));
    // The pid of the second has gone to another, and its end was not seen.
    black_box.register(ProcessInfo { target: 5, pid: 1002, ..ProcessInfo::default() });
    black_box.point(5, Point::at(2 * S).with(Signal::Rss, 7));
    // Whether it is meant is not known.
    black_box.event(&task(6, 2 * S, TaskWhat::Exec { rss_bytes: None }));
    let present = black_box.present(9);
    let seen: Vec<_> = present.processes.iter().map(|living| (living.process.target, living.process.pid)).collect();
    assert_eq!((present.t_ns, seen), (9, vec![(3, Some(1003)), (5, Some(1002))]), "the fourth had no room");
    let newest = present.processes[1].point.as_ref();
    assert_eq!(newest.map(|point| (point.t_ns, point.get(Signal::Rss))), Some((2 * S, Some(7))));
}

#[test]
fn whoever_has_a_timeline_has_a_ledger_too_however_many_that_are() {
    let most = |targets: u32, black_box: &BlackBox| {
        (1..=targets).filter(|target| black_box.aggregator.process(*target).is_some()).count()
    };
    assert_eq!(most(5000, &black_box(5000, 1024)), 4096, "what there is room for anyhow");
    let mut many = black_box(5000, 5000);
    assert_eq!(most(5000, &many), 5000);
    many.settle(Vec::new(), 5, 6000, 0);
    for target in 5001..=6000 {
        many.register(ProcessInfo { target, pid: 1000 + target, ..ProcessInfo::default() });
    }
    assert_eq!(most(6000, &many), 6000, "and when the configuration was read again");
}
