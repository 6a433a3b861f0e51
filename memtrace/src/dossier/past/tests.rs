use super::*;
use crate::aggregate::ProcessInfo;
use crate::diagnose::Cause;
use crate::dossier::BlackBoxConfig;

const S: u64 = 1_000_000_000;
const START: u64 = 77 * TICK_NS + 5;

fn black_box(triggers: &[Trigger]) -> BlackBox {
    let (timeline, triggers) = (TimelineConfig::default(), triggers.to_vec());
    BlackBox::new(BlackBoxConfig {
        start_ns: 0,
        timeline,
        max_processes: 100,
        max_rss_bytes: None,
        triggers,
        headroom_percent: 5,
    })
}

fn watch(black_box: &mut BlackBox, pid: u32, points: std::ops::Range<u64>) {
    let (target, start_time_ns) = (pid, Some(START));
    black_box.register(ProcessInfo { target, pid, start_time_ns, ..ProcessInfo::default() });
    for t_ns in points.map(|second| second * S) {
        let charge = 100 - u64::from(pid % 100);
        black_box.point(pid, Point::at(t_ns).with(Signal::Charge, charge).with(Signal::Limit, 100));
    }
}

fn saving(black_box: &mut BlackBox, boot_id: &str, t_ns: u64, is_whole: bool) -> Saving {
    let (processes, over) = black_box.save(t_ns, is_whole, usize::MAX);
    let (boot_id, log_sequence) = (boot_id.to_owned(), black_box.log_sequence());
    Saving { boot_id, t_ns, wall_offset_ns: 9, log_sequence, processes, over }
}

fn past(savings: impl IntoIterator<Item = Saving>) -> Past {
    let mut past = Past::new("now".to_owned(), TimelineConfig::default(), 100);
    savings.into_iter().for_each(|saving| past.add(saving));
    past
}

fn line(pid: u32, sequence: u64, is_before: bool) -> KernelLine {
    let text = if is_before { "oom-kill:constraint=CONSTRAINT_MEMCG" } else { "Memory cgroup out of memory" };
    KernelLine { pid, sequence, stamp_ns: 12 * S, is_before, text: text.to_owned() }
}

#[test]
fn who_is_there_again_goes_on_and_who_has_ended_is_forgotten() {
    let mut old = black_box(&Trigger::usual());
    watch(&mut old, 1, 1..5);
    watch(&mut old, 2, 1..5);
    let first = saving(&mut old, "now", 5 * S, true);
    watch(&mut old, 1, 5..8);
    old.forget(2);
    let second = saving(&mut old, "now", 8 * S, false);
    assert_eq!((second.processes.len(), second.over.as_slice()), (1, &[(2, START)][..]));
    assert_eq!(second.processes[0].packed.len(), 1, "only what is new");
    let mut new = black_box(&Trigger::usual());
    new.remember(past([first, second]));
    // The kernel dates it to the ns, /proc to the tick.
    new.register(ProcessInfo { target: 9, pid: 1, start_time_ns: Some(77 * TICK_NS), ..ProcessInfo::default() });
    new.point(9, Point::at(20 * S));
    new.point(9, Point::at(21 * S));
    assert_eq!(new.lost(22 * S, &[], |_, _| true).0.len(), 0, "the other one had ended");
    let watched = &new.watched[&9];
    let seconds: Vec<u64> = watched.timeline.points().iter().map(|point| point.t_ns / S).collect();
    assert_eq!(
        (seconds.as_slice(), watched.gaps.as_slice()),
        (&[1, 2, 3, 4, 5, 6, 7, 20, 21][..], &[(7 * S, 20 * S)][..])
    );
}

#[test]
fn who_is_gone_is_told_with_what_the_log_said_since() {
    let mut old = black_box(&Trigger::usual());
    (1..=3).for_each(|pid| watch(&mut old, pid, 1..5));
    old.kernel_line(line(1, 40, true));
    let saved = saving(&mut old, "now", 5 * S, true);
    assert_eq!(saved.log_sequence, Some(40));
    let log = [line(1, 39, true), line(2, 41, true), line(2, 42, false), line(2, 43, false)];
    let mut new = black_box(&Trigger::usual());
    new.remember(past([saved.clone()]));
    let (told, left_out) = new.lost(20 * S, &log, |kept, _| kept.pid != 3);
    let told: Vec<_> = told.iter().map(|of| (of.process.pid, of.cause, of.t_ns / S, of.log.len())).collect();
    assert_eq!(told, [(Some(2), Cause::CgroupOom, 12, 2), (Some(1), Cause::Lost, 20, 0)]);
    assert_eq!(left_out, 0);
    // Who asks for OOM kills only, is told of those that the log has.
    let mut new = black_box(&[Trigger::Oom]);
    new.remember(past([saved]));
    assert_eq!(new.lost(20 * S, &log, |_, _| true).0.iter().map(|of| of.process.pid).collect::<Vec<_>>(), [Some(2)]);
}

#[test]
fn a_line_of_a_death_that_is_being_written_down_is_still_to_be_told() {
    let mut old = black_box(&Trigger::usual());
    watch(&mut old, 1, 1..5);
    old.kernel_line(line(7, 40, true));
    old.kernel_line(line(1, 41, true));
    old.cases.push(Open::new(1, Trigger::Oom, 5 * S));
    assert_eq!(saving(&mut old, "now", 5 * S, true).log_sequence, Some(40));
}

#[test]
fn after_a_reboot_nothing_goes_on_and_those_with_least_room_are_told() {
    let mut old = black_box(&Trigger::usual());
    (1..=99).for_each(|pid| watch(&mut old, pid, 1..5));
    let saved = saving(&mut old, "before", 5 * S, true);
    let mut new = black_box(&Trigger::usual());
    new.remember(past([saved]));
    watch(&mut new, 1, 1..2);
    assert!(new.watched[&1].gaps.is_empty(), "another process with its pid");
    let (told, left_out) = new.lost(2 * S, &[line(1, 90, true)], |_, is_of_this_boot| !is_of_this_boot);
    assert_eq!((told.len(), left_out), (LOST_MAX, 99 - LOST_MAX));
    let first = &told[0];
    assert_eq!((first.process.pid, first.cause, first.t_ns), (Some(1), Cause::Lost, 5 * S));
    assert_eq!(first.lost.map(|lost| (lost.found_ns, lost.wall.offset_ns)), Some((None, 9)));
}

#[test]
fn who_is_not_claimed_in_time_is_not_kept() {
    let mut old = black_box(&Trigger::usual());
    watch(&mut old, 1, 1..5);
    let saved = saving(&mut old, "now", 5 * S, true);
    let mut new = black_box(&Trigger::usual());
    new.remember(past([saved]));
    new.save(CLAIM_NS, true, usize::MAX);
    assert!(!new.past.is_empty());
    new.save(CLAIM_NS + 1, true, usize::MAX);
    assert!(new.past.is_empty());
}
