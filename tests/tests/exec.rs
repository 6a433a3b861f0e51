//! A stripped, position-independent Go program that executes itself anew: its counters are somewhere else each time.
use memtrace_tests::matrix::{built, run, start};
use memtrace_tests::{Child, Memtrace, Processes as _, monotonic_ns, wait_until};
use serde_json::Value;
use std::process::Command;

const MIB: u64 = 1 << 20;

#[track_caller]
fn program() -> Child {
    start(&mut Command::new(built("1.27.3", "pie")))
}

/// What `grow N` keeps at the least (tests/workloads/matrix/memory.go, each): of each MiB three quarters in small objects
/// and a large one, 40,000 and 100,000 bytes in turn, and 1 MiB at the end.
fn kept_bytes(grown: u64) -> u64 {
    grown * (3 * MIB / 4) + grown / 2 * (40_000 + 100_000) + MIB
}

/// Ends with calls to madvise.
#[track_caller]
fn churn(program: &mut Child) {
    run(program, "garbage 8");
    run(program, "freeos");
}

#[test]
fn records_after_an_exec_carry_the_counters_of_the_new_program() {
    let mut program = program();
    let pid = program.pid().to_string();
    let mut memtrace = Memtrace::start(&["trace", "-o", "json", "--family", "advise,map", "-p", &pid]);
    wait_until("the probes", || {
        churn(&mut program);
        memtrace.has_spoken().then_some(())
    });
    let first = monotonic_ns();
    run(&mut program, "grow 8");
    churn(&mut program);
    let execed = monotonic_ns();
    // Answered by the new program.
    run(&mut program, "exec");
    wait_until("the new program's counters", || {
        let start = monotonic_ns();
        churn(&mut program);
        let later = std::iter::repeat_with(|| memtrace.text_line());
        let mut later = later.map(|line| serde_json::from_str::<Value>(&line).expect("JSON"));
        let event = later.find(|event| event["op"] == "madvise" && event["t_ns"].as_u64() >= Some(start));
        event.filter(|event| event["heap"].is_object())
    });
    let second = monotonic_ns();
    run(&mut program, "grow 24");
    churn(&mut program);
    let ended = memtrace.interrupt();
    let lines = ended.lines_before_the_account();
    let of = |from: u64, to: u64| -> Vec<&Value> {
        let t = |line: &&Value| line["t_ns"].as_u64().is_some_and(|t| (from..to).contains(&t));
        lines.iter().filter(t).filter(|line| line["op"] == "madvise").collect()
    };
    for (from, to, least, most) in
        [(first, execed, kept_bytes(8), 30 * MIB), (second, u64::MAX, kept_bytes(24), 58 * MIB)]
    {
        let calls = of(from, to);
        let inuse = |line: &&Value| line["heap"]["inuse_bytes"].as_u64();
        assert!(!calls.is_empty() && calls.iter().all(|call| inuse(call).is_some()), "{calls:#?}");
        assert!(calls.iter().filter_map(inuse).max() >= Some(least), "{calls:#?}");
        assert!(calls.iter().filter_map(inuse).max() < Some(most), "{calls:#?}");
    }
}

#[test]
fn stat_follows_a_program_through_its_execs() {
    let mut program = program();
    let pid = program.pid();
    let mut memtrace = Memtrace::attach(pid, &[]);
    for round in 1..=5u64 {
        run(&mut program, "exec");
        run(&mut program, &format!("grow {}", 8 * round));
        let inuse = wait_until("the heap of the new program", || {
            let interval = memtrace.settle();
            let inuse = interval.process(pid)["heap"]["inuse_bytes"]["end"].as_u64()?;
            (inuse >= kept_bytes(8 * round)).then_some(inuse)
        });
        assert!(inuse < 2 * 8 * round * MIB + 8 * MIB, "round {round}: {inuse}");
    }
    let summary = memtrace.interrupt().summary();
    let process = summary.process(pid);
    assert_eq!((&process["go"]["version"], &process["go"]["read_by"]), (&"go1.27.3".into(), &"vote".into()));
}
