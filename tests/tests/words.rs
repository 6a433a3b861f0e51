//! The last words of Go programs of every release: all statistics of the runtime, out of what the kernel copied as they
//! were killed. `cargo xtask matrix` builds them.
use memtrace::goruntime::sample_of_words;
use memtrace_tests::matrix::{RELEASES, built, host, run, start};
use memtrace_tests::{Words, differences_of_last_words};
use std::process::Command;

fn check(variant: &str, command: impl Fn(&str) -> Command) {
    let mut wrong = Vec::new();
    for release in RELEASES {
        let differ = differences_of_last_words(&mut command(release));
        wrong.extend(differ.into_iter().map(|of| format!("{release}: {of}")));
    }
    assert!(wrong.is_empty(), "{variant}:\n{}", wrong.join("\n"));
}

#[test]
fn every_number_of_a_stripped_program_as_it_was_killed() {
    check("stripped", |release| Command::new(built(release, "stripped")));
}

#[test]
fn every_number_of_a_position_independent_program_as_it_was_killed() {
    check("pie", |release| Command::new(built(release, "pie")));
}

#[test]
fn every_number_of_a_library_in_a_c_program_as_that_was_killed() {
    check("shared", |release| {
        let mut command = Command::new(host());
        command.arg(built(release, "shared"));
        command
    });
}

#[test]
fn a_program_that_never_collected_has_words_too() {
    for release in RELEASES {
        let mut program = start(Command::new(built(release, "stripped")).env("GOGC", "off"));
        let mut words = Words::start();
        let located = words.observe(program.pid());
        program.signal(libc::SIGKILL);
        let said = words.of(program.pid());
        program.end();
        let sample = sample_of_words(&located, &said[0]).unwrap_or_else(|why| panic!("{release}: {why}"));
        assert!(sample.memstats.heap_inuse > 0 && sample.num_goroutine > 0, "{release}: {sample:#?}");
        assert!(sample.is_num_goroutine_exact, "{release}: {sample:#?}");
    }
}

#[test]
fn exec_withdraws_what_was_to_be_copied() {
    let mut program = start(&mut Command::new(built("1.27.3", "pie")));
    let mut words = Words::start();
    words.observe(program.pid());
    program.say("exec");
    assert!(program.line().is_some(), "the program again");
    program.signal(libc::SIGKILL);
    assert_eq!(words.of(program.pid()).len(), 0);
    program.end();
    // Observed anew it has words.
    let mut program = start(&mut Command::new(built("1.27.3", "pie")));
    words.observe(program.pid());
    run(&mut program, "grow 3");
    program.signal(libc::SIGKILL);
    assert_eq!(words.of(program.pid()).len(), 1);
    program.end();
}

#[test]
fn neither_an_exit_nor_the_end_of_other_threads_is_a_kill() {
    let mut program = start(&mut Command::new(built("1.27.3", "stripped")));
    let mut words = Words::start();
    words.observe(program.pid());
    run(&mut program, "procs 5");
    program.close_stdin();
    assert_eq!(program.end().code(), Some(0));
    assert_eq!(words.of(program.pid()).len(), 0);
}
