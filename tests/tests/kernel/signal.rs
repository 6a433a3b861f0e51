//! How targets end, how memtrace is ended, and that the summary comes in every case.
use crate::pages;
use memtrace_tests::{Memtrace, PAGE, Processes as _, assert_json};
use serde_json::json;

const WORK: [&str; 4] = ["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p", "madvise 0p 32p dontneed"];

#[test]
fn the_exit_of_the_last_target_ends_the_run_and_its_code_is_told() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let memtrace = Memtrace::attach(pid, &[]);
    pages.all(&WORK);
    pages.ok("write 0p 5p");
    assert_eq!(pages.last("exit 7").code(), Some(7));
    let summary = memtrace.end().summary();
    let expected = json!({
        "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 32 * PAGE, "refaulted_bytes": 5 * PAGE}},
        "kept_bytes": 27 * PAGE, "faults": 69,
        "exit": {"code": 7, "killed_by": null}, "oom_killed": false,
    });
    assert_json(summary.process(pid), &expected);
}

#[test]
fn a_killed_target_names_its_killer() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let memtrace = Memtrace::attach(pid, &[]);
    pages.all(&WORK);
    pages.signal(libc::SIGKILL);
    let summary = memtrace.end().summary();
    pages.end();
    let process = summary.process(pid);
    assert_json(
        process,
        &json!({
            "advise": {"dontneed": {"unmapped_bytes": 32 * PAGE}},
            "exit": {"signal": 9}, "oom_killed": false,
        }),
    );
    let by = process["exit"]["killed_by"].as_str().expect("killed_by");
    assert!(by.starts_with(&format!("pid {} (", std::process::id())), "{by}");
}

#[test]
fn a_target_that_dies_of_another_signal_was_killed_by_nobody() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let memtrace = Memtrace::attach(pid, &[]);
    pages.signal(libc::SIGTERM);
    let summary = memtrace.end().summary();
    pages.end();
    assert_json(summary.process(pid), &json!({"exit": {"signal": 15, "killed_by": null}, "oom_killed": false}));
}

#[test]
fn two_targets_end_the_run_with_the_second() {
    let (mut one, mut two) = (pages(&[]), pages(&[]));
    let pids = [one.pid(), two.pid()];
    let mut memtrace = Memtrace::ready(&["-p", &format!("{},{}", pids[0], pids[1])]);
    one.all(&WORK);
    one.last("exit 1");
    memtrace.settle();
    two.all(&WORK);
    two.last("exit 2");
    let summary = memtrace.end().summary();
    for (pid, code) in pids.into_iter().zip([1, 2]) {
        let expected = json!({"advise": {"dontneed": {"unmapped_bytes": 32 * PAGE}}, "exit": {"code": code}});
        assert_json(summary.process(pid), &expected);
    }
}

#[test]
fn interrupt_and_terminate_both_end_with_the_summary_and_zero() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut pages = pages(&[]);
        let memtrace = Memtrace::attach(pages.pid(), &[]);
        pages.all(&WORK);
        let summary = memtrace.signalled(signal).summary();
        let expected = json!({"advise": {"dontneed": {"unmapped_bytes": 32 * PAGE}}, "exit": null});
        assert_json(summary.process(pages.pid()), &expected);
    }
}

#[test]
fn a_duration_ends_the_run() {
    let pages = pages(&[]);
    let memtrace = Memtrace::attach(pages.pid(), &["-d", "300ms"]);
    let ended = memtrace.end();
    let summary = ended.summary();
    let window = summary["t_ns"].as_u64().expect("t_ns") - summary["since_ns"].as_u64().expect("since_ns");
    assert!((300_000_000..5_000_000_000).contains(&window), "{window} ns");
    assert!(ended.lines.len() >= 3, "intervals and a summary: {:?}", ended.lines);
}

#[test]
fn an_exec_is_the_same_process_with_a_new_memory() {
    // The trampoline of `-- CMD`: the shell returns nothing, execs, and the workload returns 4 pages.
    let script = format!("exec {} run 'mmap 0p 8p; write 0p 8p; madvise 0p 4p dontneed; write 0p 1p'", crate::PAGES);
    let ended = Memtrace::run(&["stat", "-o", "json", "--", "/bin/sh", "-c", &script]);
    let summary = ended.summary();
    assert_eq!(summary.processes().len(), 1, "{summary:#}");
    let process = &summary.processes()[0];
    let expected = json!({
        "comm": "pages", "exe": crate::PAGES, "go": null, "exit": {"code": 0},
        "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 4 * PAGE, "refaulted_bytes": PAGE}},
    });
    assert_json(process, &expected);
}

/// A command that still runs when the run is over is asked to end, and the summary comes.
#[test]
fn the_command_ends_with_the_run() {
    for arguments in [&["-i", "50ms"][..], &["-i", "50ms", "-d", "500ms"]] {
        let mut memtrace = Memtrace::start(&[&["stat", "-o", "json"], arguments, &["--", crate::PAGES]].concat());
        // The command's own output shares the pipe: it says that it is ready, and is then told what to do.
        while !memtrace.text_line().contains("\"ready\":true") {}
        for command in WORK {
            memtrace.say(command);
        }
        let ended = if arguments.len() == 2 {
            let done = |line: String| line.contains("\"op\":\"madvise\"") && line.contains("\"extra\":4");
            while !done(memtrace.text_line()) {}
            memtrace.interrupt()
        } else {
            memtrace.end()
        };
        let summary = ended.summary();
        assert_eq!(summary.processes().len(), 1, "{summary:#}");
        let process = &summary.processes()[0];
        assert_json(process, &json!({"comm": "pages", "advise": {"dontneed": {"unmapped_bytes": 32 * PAGE}}}));
        let pid = process["pid"].as_u64().expect("a pid");
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "pid {pid} is left behind");
    }
}
