//! A Go runtime that ends its process is heard, whichever release it is of; one that recovers is not.
use memtrace_tests::matrix::RELEASES;
use memtrace_tests::{Child, Memtrace, Pages, ended_by_their_runtimes, saved_dossiers, wait_until};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// What the program (tests/workloads/fatal) is told, and what its runtime says then.
const ENDS: [(&str, &str, Option<&str>); 6] = [
    ("panic boom bang", "panic", Some("boom bang")),
    ("error", "panic", Some("runtime error: invalid memory address or nil pointer dereference")),
    // What is no text is not read.
    ("number", "panic", None),
    ("map", "fatal", Some("concurrent map writes")),
    ("deadlock", "fatal", Some("all goroutines are asleep - deadlock!")),
    ("memory", "throw", Some("out of memory")),
];
/// More than a runtime reserves at its start.
const SPARE_BYTES: u64 = 512 << 20;

fn binary() -> &'static str {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/workloads/fatal");
    assert!(Path::new(path).exists(), "{path} is missing: cargo xtask test builds it");
    path
}

#[track_caller]
fn program() -> Child {
    let mut program = Child::start(&mut Command::new(binary()));
    assert_eq!(program.line().as_deref(), Some("ready"));
    program.bound_address_space(SPARE_BYTES);
    program
}

#[test]
fn every_release_says_why_it_ends_stripped_and_position_independent_and_with_c() {
    let newest = RELEASES.last().expect("a release");
    let mut programs: Vec<_> = RELEASES.iter().map(|release| (*release, "stripped")).collect();
    programs.extend([(*newest, "pie"), (*newest, "cgo")]);
    ended_by_their_runtimes(&programs);
}

#[test]
fn each_way_to_end_is_an_event_and_a_recovered_panic_is_none() {
    let mut programs = ENDS.map(|end| (program(), end));
    let (mut survivor, mut bystander) = (program(), program());
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let told: Vec<u32> =
        programs.iter().map(|(program, _)| program.pid()).chain([survivor.pid(), pages.pid()]).collect();
    let list = told.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let memtrace = Memtrace::start(&["trace", "-o", "json", "--family", "task,advise", "-p", &list]);
    wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    // Nobody asked about it, though it runs the same file.
    bystander.say("panic unheard");
    assert_eq!(bystander.end().code(), Some(2));
    survivor.say("recover");
    assert_eq!(survivor.line().as_deref(), Some("recovered"));
    survivor.close_stdin();
    assert_eq!(survivor.end().code(), Some(0));
    for (program, (command, ..)) in &mut programs {
        program.say(command);
        assert_eq!(program.end().code(), Some(2), "{command}: {}", program.rest().1);
    }
    pages.last("exit 0");
    let mut events = memtrace.end().lines_before_the_account();
    events.retain(|event| event["op"] == "fatal");
    assert_eq!(events.len(), ENDS.len(), "{events:#?}");
    for (program, (command, error, message)) in &programs {
        let event = events.iter().find(|event| event["pid"] == program.pid()).unwrap_or_else(|| panic!("{command}"));
        assert_eq!((&event["family"], &event["detail"]["error"]), (&"task".into(), &(*error).into()), "{event:#}");
        assert_eq!(event["detail"]["message"].as_str(), *message, "{event:#}");
        assert!(event["heap"]["inuse_bytes"].as_u64() > Some(0), "{event:#}");
        // Of a deadlock the last thread to fall asleep tells, on a stack of the runtime's own.
        let frames = event["stack"].as_array().expect("a stack");
        let is_named = |name: &str| frames.iter().any(|frame| frame["function"] == name);
        assert!(is_named("main.main") || is_named("main.collide.func1") || is_named("runtime.checkdead"), "{event:#}");
    }
}

#[test]
fn a_command_that_ends_at_once_is_heard() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().to_str().expect("UTF-8");
    let mut memtrace = Memtrace::start(&["watch-oom", "-o", "json", "--dir", at, "--", binary()]);
    memtrace.say("panic at once");
    assert_eq!(memtrace.end().code(), Some(2));
    let saved = saved_dossiers(directory.path());
    let [saved] = saved.as_slice() else { panic!("{saved:?}") };
    let dossier: Value = serde_json::from_slice(&std::fs::read(saved).expect("a dossier")).expect("JSON");
    assert_eq!(dossier["go_said"]["message"], "at once", "{dossier:#}");
    assert_eq!((&dossier["trigger"], &dossier["victim"]["exit_code"]), (&"fatal".into(), &2.into()), "{dossier:#}");
}

#[test]
fn without_that_trigger_nothing_is_hooked_and_the_end_is_an_exit() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut program = program();
    let pid = program.pid().to_string();
    let memtrace = Memtrace::watching(directory.path(), &["-p", &pid, "--trigger", "oom,kill,exit"]);
    program.say("panic unheard");
    program.end();
    let mut told = memtrace.end().lines_before_the_account();
    told.retain(|line| line["kind"] == "dossier");
    let [dossier] = told.as_slice() else { panic!("{told:#?}") };
    assert_eq!((&dossier["trigger"], &dossier["go_said"]), (&"exit".into(), &Value::Null), "{dossier:#}");
}
