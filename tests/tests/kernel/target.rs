//! Who is observed: named, found by name, path or cgroup, run; and nobody else.
use crate::{PAGES, pages};
use memtrace_tests::{MemoryCgroup, Memtrace, PAGE, Processes as _, assert_json};
use serde_json::{Value, json};
use std::process::Command;

const ONE: &str = "run";
const LIST: &str = "mmap 0p 8p; write 0p 8p; madvise 0p 4p dontneed";

fn returned() -> Value {
    json!({"advise": {"dontneed": {"calls": 1, "unmapped_bytes": 4 * PAGE}}})
}

/// Starts the workload once and waits for its end.
fn one_shot() -> u32 {
    let mut child = Command::new(PAGES).args([ONE, LIST]).spawn().expect("pages");
    let pid = child.id();
    assert!(child.wait().expect("pages").success());
    pid
}

#[test]
fn a_name_finds_what_runs_and_what_is_started() {
    let mut running = pages(&[]);
    let mut memtrace = Memtrace::ready(&["--comm", "page?"]);
    running.all(&["mmap 0p 8p", "write 0p 8p", "madvise 0p 4p dontneed"]);
    let later = one_shot();
    let stranger = Command::new("/bin/sh").args(["-c", "exit 0"]).status().expect("sh");
    assert!(stranger.success());
    memtrace.settle();
    let summary = memtrace.interrupt().summary();
    assert_json(summary.process(running.pid()), &returned());
    assert_json(summary.process(later), &returned());
    let comms: Vec<_> = summary.processes().iter().map(|process| process["comm"].clone()).collect();
    assert_eq!(comms, ["pages", "pages"], "{summary:#}");
}

#[test]
fn a_path_finds_what_runs_and_what_is_started() {
    let mut running = pages(&[]);
    let glob = format!("{}/pag*", std::path::Path::new(PAGES).parent().expect("a directory").display());
    let mut memtrace = Memtrace::ready(&["--exe", &glob]);
    running.all(&["mmap 0p 8p", "write 0p 8p", "madvise 0p 4p dontneed"]);
    // One that stays, since a path can only be read while there is a process.
    let mut later = pages(&[]);
    memtrace.settle();
    later.all(&["mmap 0p 8p", "write 0p 8p", "madvise 0p 4p dontneed"]);
    let summary = memtrace.interrupt().summary();
    assert_json(summary.process(running.pid()), &returned());
    assert_json(summary.process(running.pid()), &json!({"exe": PAGES}));
    let found = summary.process(later.pid());
    assert_json(found, &json!({"exe": PAGES, "exit": null}));
    assert_eq!(found["advise"]["dontneed"]["unmapped_bytes"], 4 * PAGE, "{found:#}");
    assert_eq!(summary.processes().len(), 2, "{summary:#}");
}

#[test]
fn a_cgroup_is_its_members_and_their_children() {
    let group = MemoryCgroup::new("members", 1 << 30);
    let (mut inside, mut outside) = (pages(&[]), pages(&[]));
    group.add(inside.pid());
    let memtrace = Memtrace::ready(&["-c", &group.path().display().to_string()]);
    for pages in [&mut inside, &mut outside] {
        pages.all(&["mmap 0p 8p", "write 0p 8p", "madvise 0p 4p dontneed"]);
        pages.ok("spawn 3 mmap 0p 8p, write 0p 8p, madvise 0p 4p dontneed");
    }
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary.processes().len(), 4, "{summary:#}");
    assert_json(summary.process(inside.pid()), &returned());
    for process in summary.processes() {
        assert_ne!(process["pid"], outside.pid());
        assert_json(process, &returned());
    }
}

#[test]
fn a_command_is_observed_from_its_first_call_with_its_children() {
    let list =
        "mmap 0p 8p; write 0p 8p; madvise 0p 4p dontneed; spawn 2 mmap 0p 8p, write 0p 8p, madvise 0p 4p dontneed";
    let ended = Memtrace::run(&["stat", "-o", "json", "--", PAGES, "run", list]);
    let summary = ended.summary();
    assert_eq!(summary.processes().len(), 3, "{summary:#}");
    for process in summary.processes() {
        assert_json(process, &returned());
        assert_json(process, &json!({"comm": "pages", "exit": {"code": 0}}));
        // A process may be gone before anyone can look where it came from: then that is not known.
        assert!(process["exe"] == PAGES || process["exe"].is_null(), "{process:#}");
        // The C library's own first calls are there: it was observed from its exec on.
        let calls = |op: &str| process[op]["calls"].as_u64();
        assert!(calls("brk") > Some(1) && calls("mmap") > Some(1), "{process:#}");
    }
}

#[test]
fn a_bystander_is_never_counted() {
    let (mut target, mut other) = (pages(&[]), pages(&[]));
    let process = crate::ledger_of(&mut target, &[], |target| {
        other.all(&["mmap 0p 64p", "write 0p 64p", "madvise 0p 64p dontneed", "write 0p 64p"]);
        target.all(&["mmap 0p 8p", "write 0p 8p", "madvise 0p 4p dontneed"]);
    });
    assert_json(&process, &returned());
    assert_json(&process, &json!({"mmap": {"calls": 1}, "faults": 8, "refaulted_bytes": 0}));
}

#[test]
fn trace_shows_each_call_of_its_families_with_its_figures() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let families = ["trace", "-o", "json", "-p", &pid.to_string(), "--family", "advise", "--min-bytes", "8192"];
    let memtrace = Memtrace::start(&families);
    memtrace_tests::wait_until("the probes", || {
        pages.run("madvise 0p 2p willneed");
        memtrace.has_spoken().then_some(())
    });
    pages.all(&["mmap 0p 64p", "write 0p 64p", "madvise 0p 16p dontneed", "madvise 32p 1p dontneed"]);
    pages.fails("madvise 1 16p dontneed", libc::EINVAL);
    let ended = memtrace.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let lines = ended.json();
    let (last, events) = lines.split_last().expect("lines");
    memtrace_tests::assert_account(last);
    assert!(events.iter().all(|event| event["family"] == "advise" || event["family"] == "task"), "{events:#?}");
    let calls: Vec<_> = events.iter().filter(|event| event["advice"] == "dontneed").collect();
    assert_eq!(calls.len(), 2, "the page alone is below --min-bytes: {calls:#?}");
    let common = json!({
        "schema": "memtrace.trace/1", "kind": "event", "family": "advise", "op": "madvise", "pid": pid, "tid": pid,
        "comm": "pages", "length_bytes": 16 * PAGE, "heap": null, "stack": null, "freed_bytes": null,
    });
    for call in &calls {
        assert_json(call, &common);
        assert!(call["duration_ns"].as_u64() > Some(0), "{call}");
    }
    let base = memtrace_tests::BASE;
    let went = json!({"address": base, "result": 0, "unmapped_bytes": 16 * PAGE, "approximate": false});
    assert_json(calls[0], &went);
    assert_json(calls[1], &json!({"address": base + 1, "result": -libc::EINVAL, "unmapped_bytes": 0}));
    assert!(calls[0]["t_ns"].as_u64() < calls[1]["t_ns"].as_u64());
}

/// A process of another path that is gone before it can be looked at: it is counted as such, or left out, never taken
/// for one that is meant.
#[test]
fn a_path_never_takes_a_stranger_for_its_own() {
    let memtrace = Memtrace::ready(&["--exe", "/nowhere/*"]);
    for _ in 0..20 {
        one_shot();
    }
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary.processes().len(), 0, "{summary:#}");
}

#[test]
fn a_full_target_set_says_how_many_it_left_out() {
    // Three alive at once: the command, its child, and the child's child.
    let list = "mmap 0p 8p; write 0p 8p; madvise 0p 4p dontneed; spawn 1 spawn 1 ping";
    let ended = Memtrace::run(&["stat", "-o", "json", "--max-targets", "2", "--", PAGES, "run", list]);
    let summary = ended.summary();
    assert_eq!(summary.processes().len(), 2, "{summary:#}");
    let notes = summary["notes"].as_array().expect("notes");
    let said = notes
        .iter()
        .any(|note| note.as_str().is_some_and(|n| n.starts_with("1 process") && n.contains("--max-targets")));
    assert!(said, "{notes:?}");
    assert_eq!((&summary["account"]["lost"], &summary["account"]["read_failed"]), (&json!(1), &json!(1)));
}

#[test]
fn two_observers_see_the_same() {
    let mut pages = pages(&[]);
    let observers = [Memtrace::attach(pages.pid(), &[]), Memtrace::attach(pages.pid(), &["--exact"])];
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p", "madvise 0p 500p dontneed"]);
    pages.all(&["write 0p 200p", "munmap 0p 1024p"]);
    let expected = json!({
        "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 500 * PAGE, "refaulted_bytes": 200 * PAGE}},
        "munmap": {"calls": 1, "unmapped_bytes": 724 * PAGE},
        "faults": 1224, "untracked_bytes": 0,
    });
    for observer in observers {
        assert_json(observer.interrupt().summary().process(pages.pid()), &expected);
    }
}
