//! memtrace is killed or stopped in the middle of its work: its target goes on as if nothing had been.
use crate::{PAGES, pages};
use memtrace_tests::{
    BpfObjects, Memtrace, PAGE, Pages, Processes as _, Stops, assert_json, process_state, wait_until,
};
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const BATCH: u64 = 1000;
const ROUND: [&str; 2] = ["write 0p 64p", "madvise 0p 64p dontneed"];

fn rounds(pages: &mut Pages, count: u64) {
    (0..count).for_each(|_| pages.all(&ROUND));
}

/// The ledger of the counted work, and of as many rounds.
#[track_caller]
fn assert_rounds(process: &Value, rounds: u64) {
    let expected = json!({
        "advise": {"dontneed": {"calls": rounds, "unmapped_bytes": rounds * 64 * PAGE, "failed_calls": 0}},
        "untracked_bytes": 0,
    });
    assert_json(process, &expected);
}

#[test]
fn a_killed_memtrace_leaves_nothing_behind_and_its_target_at_work() {
    let mut pages = pages(&[]);
    pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage"]);
    let pid = pages.pid();
    let mut beside = Memtrace::attach(pid, &[]);
    let killed = Memtrace::attach(pid, &[]);
    let objects = BpfObjects::of(killed.pid());
    let is_killed = AtomicBool::new(false);
    let batches = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let mut batches = 0;
            while !is_killed.load(Relaxed) {
                pages.ok(&format!("repeat {BATCH} madvise 0p 1p willneed"));
                batches += 1;
            }
            rounds(&mut pages, 10);
            batches
        });
        let stops = Stops(&is_killed);
        let willneed = |line: &Value| line.process(pid)["advise"]["willneed"]["calls"].as_u64() > Some(0);
        while !willneed(&beside.interval()) {}
        assert_eq!(killed.signalled(libc::SIGKILL).code(), None);
        drop(stops);
        work.join().expect("the target")
    });
    // Another one that observes the same is not touched by it.
    let summary = beside.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{summary:#}");
    assert_eq!(summary.process(pid)["advise"]["willneed"]["calls"], batches * BATCH, "{summary:#}");
    assert_rounds(summary.process(pid), 10);
    objects.wait_gone();
    let next = Memtrace::attach(pid, &[]);
    rounds(&mut pages, 7);
    assert_rounds(next.interrupt().summary().process(pid), 7);
}

#[test]
fn the_command_of_a_killed_memtrace_runs_to_its_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let done = dir.path().join("done");
    let script = "echo started; read line; echo \"$line\" > \"$0.new\"; mv \"$0.new\" \"$0\"";
    let mut memtrace = Memtrace::start(&["stat", "--", "/bin/sh", "-c", script, &done.display().to_string()]);
    assert_eq!(memtrace.text_line(), "started");
    memtrace.kill();
    memtrace.say("after its death");
    wait_until("the command's end", || done.exists().then_some(()));
    assert_eq!(fs::read_to_string(done).expect("a file"), "after its death\n");
}

/// Nobody would ever wake it.
#[test]
fn a_command_that_is_still_held_goes_with_memtrace() {
    let is_held = |pid: u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| is_held_line(&line));
    let held = wait_until("a command that is held", || {
        let mut memtrace = Memtrace::start(&["stat", "--", PAGES]);
        let held = wait_until("the command", || {
            let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", memtrace.pid())).ok()?;
            let mut children = children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok());
            children.find(|pid| is_held(*pid))
        });
        memtrace.signal(libc::SIGSTOP);
        wait_until("memtrace to stop", || (process_state(memtrace.pid()) == Some('T')).then_some(()));
        // Released already: once more.
        let still_held = is_held(held);
        memtrace.kill();
        still_held.then_some(held)
    });
    wait_until("its end", || (!is_held(held)).then_some(()));
}

/// The command line of memtrace in the place of the command.
fn is_held_line(command_line: &[u8]) -> bool {
    command_line.split(|byte| *byte == 0).nth(1) == Some(b"__exec")
}

#[test]
fn what_happens_while_memtrace_is_stopped_is_counted_when_it_goes_on() {
    let mut pages = pages(&[]);
    pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage"]);
    let pid = pages.pid();
    let mut memtrace = Memtrace::attach(pid, &[]);
    stop(&mut memtrace);
    rounds(&mut pages, 100);
    assert_eq!(pages.ok("spawn 20 mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed")["result"], 20);
    memtrace.signal(libc::SIGCONT);
    memtrace.settle();
    rounds(&mut pages, 10);
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{summary:#}");
    assert_rounds(summary.process(pid), 110);
    let children = summary.processes().iter().filter(|process| process["pid"] != pid);
    let of = |process: &Value| process["advise"]["dontneed"]["calls"].as_u64().unwrap_or(0);
    assert_eq!(children.map(of).sum::<u64>(), 20, "{summary:#}");
}

#[test]
fn what_the_ring_of_a_stopped_memtrace_did_not_hold_is_said_and_never_guessed() {
    let mut pages = pages(&[]);
    pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage"]);
    let pid = pages.pid();
    let mut memtrace = Memtrace::attach(pid, &["--ring-bytes", "4096"]);
    stop(&mut memtrace);
    rounds(&mut pages, 200);
    memtrace.signal(libc::SIGCONT);
    memtrace.settle();
    rounds(&mut pages, 10);
    let summary = memtrace.interrupt().summary();
    let account = &summary["account"];
    let lost = account["ring_full"].as_u64().expect("ring_full");
    assert!(lost > 100, "a page holds less than 100 records: {account:#}");
    assert_eq!(account["lost"], lost, "{account:#}");
    // What it saw it saw exactly: never more was returned than the target gave.
    assert_rounds(summary.process(pid), 210 - lost);
}

/// Otherwise it would be waited for, and kept in mind, for ever.
#[test]
fn an_end_that_no_record_told_of_is_found_out() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let mut memtrace = Memtrace::attach(pid, &[]);
    stop(&mut memtrace);
    // Forks and exits of more than the ring for them holds.
    assert_eq!(pages.ok("spawn 6000 mmap 0p 1p")["result"], 6000);
    pages.end();
    memtrace.signal(libc::SIGCONT);
    let ended = memtrace.end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let summary = ended.summary();
    assert!(summary["account"]["lost"].as_u64() > Some(0), "{summary:#}");
    let process = summary.process(pid);
    assert!(process["exit"].is_object(), "{process:#}");
    assert!(process["exit"]["code"].is_null() && process["exit"]["signal"].is_null(), "{process:#}");
    let notes = summary["notes"].as_array().expect("notes");
    let is_told = |note: &Value| note.as_str().is_some_and(|note| note.contains("ended and no record said so"));
    assert!(notes.iter().any(is_told), "{notes:#?}");
}

fn stop(memtrace: &mut Memtrace) {
    memtrace.signal(libc::SIGSTOP);
    wait_until("memtrace to stop", || (process_state(memtrace.pid()) == Some('T')).then_some(()));
}
