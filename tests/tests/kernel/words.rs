//! The last words of killed Go programs, as `memtrace trace` tells them: what the program itself said last.
use crate::pages;
use memtrace_tests::matrix::{built, run, start};
use memtrace_tests::{
    Memtrace, Truth, assert_said, last_words, monotonic_ns, observed, observed_until_the_end, oom_killed_because_of,
    oom_killed_by_itself, quiet_truth, wait_until,
};
use serde_json::Value;
use std::process::Command;

#[test]
fn the_oom_killers_victim_because_of_another_process_has_words() {
    oom_killed_because_of(pages(&[]));
}

#[test]
fn the_oom_killers_victim_for_what_it_asked_itself_has_words() {
    oom_killed_by_itself();
}

#[test]
fn twenty_killed_one_after_the_other_have_words_each() {
    let mut programs: Vec<Truth> = (0..20).map(|_| quiet_truth()).collect();
    let memtrace = observed(&mut programs);
    let mut killed = Vec::new();
    for mut program in programs {
        let (said, ()) = program.compare(|| ());
        killed.push((program.pid(), said));
        program.kill();
    }
    let lines = observed_until_the_end(memtrace);
    killed.iter().for_each(|(pid, said)| assert_said(&lines, *pid, said));
}

#[test]
fn twenty_killed_at_once_have_words_each() {
    let mut programs: Vec<Truth> = (0..20).map(|_| quiet_truth()).collect();
    let memtrace = observed(&mut programs);
    let killed: Vec<(u32, Value)> =
        programs.iter_mut().map(|program| (program.pid(), program.compare(|| ()).0)).collect();
    let began = monotonic_ns();
    programs.iter_mut().for_each(|program| program.signal(libc::SIGKILL));
    let sent = monotonic_ns();
    let lines = observed_until_the_end(memtrace);
    killed.iter().for_each(|(pid, said)| assert_said(&lines, *pid, said));
    let first = lines.iter().filter(|line| line["op"] == "last_words").filter_map(|line| line["t_ns"].as_u64()).min();
    assert!(first.is_some_and(|first| first >= began), "sent from {began} to {sent}, first words {first:?}");
}

#[test]
fn a_c_program_leaves_none() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid.to_string()]);
    pages.all(&["mmap 0p 64p"]);
    wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    pages.signal(libc::SIGKILL);
    let lines = observed_until_the_end(memtrace);
    assert_eq!(last_words(&lines, pid), Vec::<&Value>::new());
    assert!(lines.iter().any(|line| line["op"] == "kill" && line["pid"] == pid), "{lines:#?}");
    pages.end();
}

/// Its loader executes itself again, with the next argument as the program.
#[test]
fn a_go_program_that_has_become_a_c_program_leaves_none() {
    // Of a program that has one; this one may be static.
    let maps = Command::new("cat").arg("/proc/self/maps").output().expect("cat runs").stdout;
    let maps = String::from_utf8(maps).expect("text");
    let loader = maps.split_whitespace().find(|word| word.contains("/ld-")).expect("a dynamic loader");
    let mut program = start(Command::new(loader).arg(built("1.27.3", "cgo")).arg(crate::PAGES));
    let pid = program.pid();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid.to_string()]);
    wait_until("the probes", || {
        run(&mut program, "freeos");
        memtrace.has_spoken().then_some(())
    });
    program.say("exec");
    assert!(program.line().is_some_and(|ready| ready.contains("\"ready\":true")), "not the C program");
    program.signal(libc::SIGKILL);
    let lines = observed_until_the_end(memtrace);
    let had_heap = |line: &Value| line["family"] == "advise" && line["heap"]["inuse_bytes"].is_u64();
    assert!(lines.iter().any(had_heap), "it was a Go program: {lines:#?}");
    assert_eq!(last_words(&lines, pid), Vec::<&Value>::new());
    program.end();
}

#[test]
fn a_go_program_that_has_become_another_leaves_the_words_of_that() {
    let mut program = start(&mut Command::new(built("1.27.3", "pie")));
    let pid = program.pid();
    let mut memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid.to_string()]);
    wait_until("the probes", || {
        run(&mut program, "freeos");
        memtrace.has_spoken().then_some(())
    });
    run(&mut program, "grow 30");
    program.say("exec");
    program.line().expect("the program again");
    // From the record on that has counters again it has words.
    wait_until("the new program to be known", || {
        run(&mut program, "freeos");
        let line: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
        (line["detail"]["task_comm"] == "exe").then_some(())
    });
    wait_until("its counters", || {
        run(&mut program, "freeos");
        let line: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
        line["heap"]["inuse_bytes"].is_u64().then_some(())
    });
    program.signal(libc::SIGKILL);
    let lines = observed_until_the_end(memtrace);
    let [words] = last_words(&lines, pid)[..] else { panic!("not one record: {lines:#?}") };
    assert!(words["heap"]["inuse_bytes"].as_u64().is_some_and(|bytes| bytes < 30 << 20), "{words}");
    program.end();
}
