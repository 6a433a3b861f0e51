//! Ten thousand processes, within a minute where the machine can, before the eyes of four observers.
use crate::{PAGES, pages};
use memtrace_tests::{BpfObjects, Memtrace, PAGE, Processes as _, assert_account, open_files, status_bytes};
use serde_json::Value;
use std::time::Instant;

const LIVES: u64 = 10_000;
const BATCH: u64 = 500;
/// What `stat` may remember of a process (docs/limits.md), of 4096 at most.
const REMEMBERED_BYTES: u64 = 4096 * (50 << 10);
/// Batches on the way when all CPUs are busy.
const QUEUED_BYTES: u64 = 32 << 20;

fn sum(processes: &[Value], figure: impl Fn(&Value) -> Option<u64>) -> u64 {
    processes.iter().filter_map(figure).sum()
}

#[test]
fn ten_thousand_processes_are_all_accounted_for() {
    let mut parent = pages(&[]);
    let parent_pid = parent.pid();
    let named = Memtrace::attach(parent_pid, &[]);
    let traced = ["trace", "-o", "json", "--family", "task", "-p", &parent_pid.to_string()].map(str::to_owned);
    let traced = Memtrace::start(&traced.each_ref().map(String::as_str));
    let by_exe = Memtrace::ready(&["--exe", PAGES]);
    let all_go = Memtrace::ready(&["-a"]);
    let observers = [&named, &traced, &by_exe, &all_go].map(Memtrace::pid);
    let held = |pid: u32| (open_files(pid), BpfObjects::of(pid));
    memtrace_tests::wait_until("the tracer", || (held(traced.pid()).1.programs.len() > 10).then_some(()));
    // From its first tick on an observer keeps files of its target open.
    let status = format!("/proc/{parent_pid}/status");
    let keeps = |file: std::fs::DirEntry| std::fs::read_link(file.path()).is_ok_and(|at| at.ends_with(&status));
    for pid in [&named, &traced, &by_exe].map(Memtrace::pid) {
        memtrace_tests::wait_until("its first tick", || {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
            files.flatten().any(keeps).then_some(())
        });
    }
    let before = observers.map(|pid| (open_files(pid), status_bytes(pid, "VmRSS")));
    let started = Instant::now();
    for _ in 0..LIVES / BATCH {
        let command = format!("spawn {BATCH} mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed");
        assert_eq!(parent.ok(&command)["result"], BATCH);
    }
    println!("{LIVES} processes in {:?}, before {} observers", started.elapsed(), observers.len());
    // The descriptors of those that are gone close when their ends have been read.
    for (pid, (files, rss_bytes)) in observers.into_iter().zip(before) {
        memtrace_tests::wait_until("no more files than before", || (open_files(pid) <= files).then_some(()));
        let peak = status_bytes(pid, "VmHWM");
        println!("{pid}: RSS {} KiB before, {} KiB at most", rss_bytes >> 10, peak >> 10);
        assert!(peak <= rss_bytes + REMEMBERED_BYTES + QUEUED_BYTES, "{peak} bytes, {rss_bytes} before");
    }
    let calls = |process: &Value| process["advise"]["dontneed"]["calls"].as_u64();
    let unmapped = |process: &Value| process["advise"]["dontneed"]["unmapped_bytes"].as_u64();
    let lives = |process: &Value| process["processes"].as_u64();
    // Children of a target are followed by the kernel: none is missed.
    let summary = named.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{}", summary["account"]);
    let processes = summary.processes();
    assert_eq!(sum(processes, lives), LIVES + 1);
    assert_eq!((sum(processes, calls), sum(processes, unmapped)), (LIVES, LIVES * 5 * PAGE));
    let ended = traced.interrupt();
    let lines = ended.json();
    let (last, events) = lines.split_last().expect("lines");
    assert_account(last);
    assert_eq!(last["account"]["lost"], 0, "{last}");
    for op in ["fork", "exec", "exit"] {
        assert_eq!(events.iter().filter(|event| event["op"] == op).count() as u64, LIVES, "{op}");
    }
    // Those that were gone before their executable could be looked at are left out, and it is said how many; strangers
    // on this machine are among them.
    let summary = by_exe.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{}", summary["account"]);
    let processes = summary.processes();
    let found = sum(processes, lives) - 1;
    let left_out = left_out(&summary);
    println!("by executable: {found} seen, {left_out} left out");
    assert!(found <= LIVES && found + left_out >= LIVES, "{found}, {:#}", summary["notes"]);
    assert_eq!((sum(processes, calls), sum(processes, unmapped)), (found, found * 5 * PAGE));
    // None of them is Go's.
    let summary = all_go.interrupt().summary();
    assert!(summary.processes().iter().all(|process| process["exe"] != PAGES), "{summary:#}");
}

fn left_out(summary: &Value) -> u64 {
    let notes = summary["notes"].as_array().expect("notes").iter().filter_map(Value::as_str);
    let mut counts = notes.filter_map(|note| {
        note.strip_suffix(" processes ended before it could be told whether they were meant: left out")
    });
    counts.next().map_or(0, |count| count.parse().expect("a count"))
}
