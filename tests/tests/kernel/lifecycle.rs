//! Thousands of short lives, reused pids, and what memtrace leaves behind: nothing.
use crate::{PAGES, pages};
use memtrace_tests::{
    BpfObjects, Memtrace, PAGE, Processes as _, assert_json, bpf_programs, open_files, status_bytes, wait_until,
};
use serde_json::{Value, json};
use std::process::Command;

const LIVES: u64 = 2000;

/// The sum of a figure of one advice kind over all processes.
fn sum(processes: &[Value], figure: &str) -> u64 {
    processes.iter().filter_map(|process| process["advise"]["dontneed"][figure].as_u64()).sum()
}

#[test]
fn two_thousand_children_of_a_command_are_each_counted_once() {
    let list = format!("spawn {LIVES} mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed, write 0p 2p");
    let ended = Memtrace::run(&["stat", "-o", "json", "--", PAGES, "run", &list]);
    let summary = ended.summary();
    assert_eq!(summary["account"]["lost"], 0, "{}", summary["account"]);
    let processes = summary.processes();
    let lives: u64 = processes.iter().filter_map(|process| process["processes"].as_u64()).sum();
    assert_eq!(lives, LIVES + 1);
    assert_eq!(sum(processes, "calls"), LIVES);
    assert_eq!(sum(processes, "asked_bytes"), LIVES * 5 * PAGE);
    assert_eq!(sum(processes, "unmapped_bytes"), LIVES * 5 * PAGE);
    assert_eq!(sum(processes, "refaulted_bytes"), LIVES * 2 * PAGE);
    assert_eq!(sum(processes, "failed_calls"), 0);
    assert_eq!(sum(processes, "approximate_calls"), 0);
    for process in processes {
        assert_json(process, &json!({"comm": "pages", "exit": {"code": 0}, "oom_killed": false}));
        // A process may be gone before anyone can look where it came from: then that is not known.
        assert!(process["exe"] == PAGES || process["exe"].is_null(), "{process:#}");
    }
}

#[test]
fn two_thousand_strangers_leave_nothing_behind_in_kernel_or_memtrace() {
    // A process may cost memtrace this much: see the bound stated in memtrace/src/aggregate.
    const PER_LIFE: u64 = 8 << 10;
    let before = bpf_programs();
    // The parent bears another name than the children: they are found, not inherited.
    let dir = tempfile::tempdir().expect("a directory");
    let other_name = dir.path().join("maker");
    std::fs::copy(PAGES, &other_name).expect("a copy");
    let mut memtrace = Memtrace::ready(&["--comm", "pages"]);
    let objects = BpfObjects::of(memtrace.pid());
    assert!(!objects.programs.is_empty());
    let lives = |pages: &mut memtrace_tests::Pages, count: u64| {
        let command = format!("spawn {count} mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed");
        assert_eq!(pages.ok(&command)["result"], count);
    };
    let mut parent = memtrace_tests::Pages::start_command(Command::new(&other_name).args(["--exec", PAGES]));
    lives(&mut parent, LIVES / 4);
    memtrace.settle();
    let (files, memory) = (open_files(memtrace.pid()), status_bytes(memtrace.pid(), "VmRSS"));
    lives(&mut parent, LIVES - LIVES / 4);
    memtrace.settle();
    for map in ["TARGETS", "FAULTS", "CHUNKS"] {
        wait_until(&format!("{map} to be empty"), || {
            memtrace.interval();
            (objects.entries(map) == 0).then_some(())
        });
    }
    assert_eq!(open_files(memtrace.pid()), files, "file descriptors");
    let grown = status_bytes(memtrace.pid(), "VmRSS").saturating_sub(memory);
    let bound = (LIVES - LIVES / 4) * PER_LIFE;
    assert!(grown <= bound, "memtrace grew by {grown} bytes, {bound} is the bound for what it remembers");
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{}", summary["account"]);
    assert_eq!(sum(summary.processes(), "calls"), LIVES);
    assert_eq!(sum(summary.processes(), "unmapped_bytes"), LIVES * 5 * PAGE);
    drop(objects);
    assert_gone(&before);
}

#[test]
fn a_reused_pid_is_another_process() {
    let memtrace = Memtrace::ready(&["--comm", "pages"]);
    let first = life("mmap 0p 8p; write 0p 8p; madvise 0p 4p dontneed");
    let second =
        reborn(first, "mmap 0p 64p; write 0p 64p; madvise 0p 32p dontneed; madvise 40p 8p dontneed; write 0p 7p");
    let summary = memtrace.interrupt().summary();
    assert_eq!(second, first);
    let same: Vec<&Value> = summary.processes().iter().filter(|process| process["pid"] == first).collect();
    assert_eq!(same.len(), 2, "{summary:#}");
    assert_ne!(same[0]["target"], same[1]["target"]);
    let born = [0, 1].map(|n| same[n]["start_time_ns"].as_u64().unwrap_or_else(|| panic!("{:#}", same[n])));
    assert!(born[0] < born[1], "in the order of their lives: {born:?}");
    let (one, two) = (same[0], same[1]);
    let row = |calls: u64, unmapped: u64| {
        json!({
            "exit": {"code": 0}, "advise": {"dontneed": {"calls": calls, "unmapped_bytes": unmapped * PAGE}},
        })
    };
    assert_json(one, &row(1, 4));
    assert_json(two, &row(2, 40));
    // The first touched nothing again. Of the second it depends on when memtrace looked at it: 7 pages, or untracked.
    let sum = |process: &Value, field: &str| process[field].as_u64().expect("bytes") / PAGE;
    assert_eq!(sum(one, "refaulted_bytes"), 0, "{one:#}");
    let (back, untracked) = (sum(two, "refaulted_bytes"), sum(two, "untracked_bytes"));
    assert!(back <= 7 && (7..=40).contains(&(back + untracked)), "{two:#}");
}

/// Runs the workload once; its pid.
fn life(list: &str) -> u32 {
    let mut child = Command::new(PAGES).args(["run", list]).spawn().expect("pages");
    let pid = child.id();
    assert!(child.wait().expect("pages").success());
    pid
}

const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

/// Puts the kernel's counter back, so that pids go on as if nothing had been.
struct LastPid(String);

impl Drop for LastPid {
    fn drop(&mut self) {
        let _ = std::fs::write(LAST_PID, &self.0);
    }
}

/// The same under a pid that is free again: the kernel hands out the one after the last.
fn reborn(pid: u32, list: &str) -> u32 {
    let _before = LastPid(std::fs::read_to_string(LAST_PID).expect("the last pid"));
    wait_until("the pid again", || {
        std::fs::write(LAST_PID, (pid - 1).to_string()).expect("root may choose pids");
        // Someone else may have been quicker: then nobody of ours has lived, and it is tried again.
        let mut child = Command::new("/bin/sh");
        child.args(["-c", &format!("[ $$ = {pid} ] || exit 99; exec {PAGES} run '{list}'")]);
        let mut child = child.spawn().expect("sh");
        let got = child.id();
        let code = child.wait().expect("sh").code();
        match code {
            Some(99) => None,
            Some(0) => Some(got),
            other => panic!("pages as pid {got} ended with {other:?}"),
        }
    })
}

#[test]
fn a_process_that_comes_and_goes_before_it_can_be_looked_at_is_still_told() {
    let memtrace = Memtrace::ready(&["--comm", "pages"]);
    let list = |n: u64| format!("mmap 0p 32p; write 0p 32p; madvise 0p {n}p dontneed; write 0p 32p");
    let pids: Vec<u32> = (0..20).map(|n| life(&list(n))).collect();
    let summary = memtrace.interrupt().summary();
    for (n, pid) in (0..).zip(pids) {
        let expected = json!({
            "comm": "pages", "exit": {"code": 0},
            "advise": {"dontneed": {"calls": 1, "unmapped_bytes": n * PAGE}},
        });
        let process = summary.process(pid);
        assert_json(process, &expected);
        // Its faults are seen only from when memtrace has looked at it. Whatever came back unseen is not "kept": either
        // nothing is said of re-faults, or it is said that they were not watched.
        if let Some(refaulted) = process["refaulted_bytes"].as_u64() {
            let untracked = process["untracked_bytes"].as_u64().expect("untracked_bytes");
            assert_eq!(refaulted + untracked, n * PAGE, "{process:#}");
        }
    }
}

/// The kernel frees programs a grace period after their last user has gone.
fn assert_gone(before: &[u32]) {
    wait_until("all eBPF programs but those of before to be gone", || {
        bpf_programs().iter().all(|id| before.contains(id)).then_some(())
    });
}

#[test]
fn nothing_is_left_attached_after_the_end() {
    let before = bpf_programs();
    let pages = pages(&[]);
    let memtrace = Memtrace::attach(pages.pid(), &[]);
    let held = BpfObjects::of(memtrace.pid()).programs;
    assert!(held.len() > 10, "{held:?}");
    memtrace.interrupt().summary();
    assert_gone(&before);
}
