//! The output has no room or is closed: one line or none, the right exit code, and the command goes on.
use crate::{FAILED, PAGES, assert_says, pages, profiled, redirected};
use memtrace_tests::{BpfObjects, Memtrace, Pages, Tiny, wait_until};
use std::fs;
use std::process::Command;

const NO_SPACE: &str = "cannot write the output: No space left on device (os error 28)";
const FULL: &str = ">/dev/full";

fn flood(pages: &mut Pages) {
    pages.ok("repeat 100 madvise 0p 1p willneed");
}

#[test]
fn a_look_that_finds_no_room_fails_with_one_line() {
    let program = profiled();
    let pid = program.pid().to_string();
    let looks: [&[&str]; 8] = [
        &["doctor", "-o", "json"],
        &["ps"],
        &["explain", "-p", &pid],
        &["explain", "-o", "json", "-p", &pid],
        &["goroutines", "-p", &pid],
        &["heap", "-o", "pprof", "-p", &pid],
        &["heap", "-o", "svg", "-p", &pid],
        &["stat", "-d", "100ms", "-p", &pid],
    ];
    for arguments in looks {
        let ended = redirected(FULL, arguments).end();
        assert_eq!(ended.code(), Some(FAILED), "{arguments:?}: {ended:?}");
        let last = ended.stderr.lines().last().expect("a line");
        assert_eq!(last, format!("memtrace: {NO_SPACE}"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn a_run_whose_output_fills_the_disk_ends_with_one_line_and_nothing_attached() {
    for verb in [&["stat", "-i", "50ms"][..], &["trace"]] {
        let (tiny, mut pages) = (Tiny::mount(), pages(&[]));
        pages.ok("mmap 0p 1p");
        let pid = pages.pid().to_string();
        let to_file = format!(">{}", tiny.file().display());
        let memtrace = redirected(&to_file, &[verb, &["-o", "json", "-p", &pid]].concat());
        wait_until("the first line", || {
            pages.ok("madvise 0p 1p willneed");
            (tiny.bytes() > 0).then_some(())
        });
        let objects = BpfObjects::of(memtrace.pid());
        wait_until("the disk to be full", || {
            flood(&mut pages);
            tiny.is_full().then_some(())
        });
        assert_says(&memtrace.end(), FAILED, NO_SPACE);
        objects.wait_gone();
        let text = fs::read_to_string(tiny.file()).expect("the file");
        let (whole, _torn) = text.rsplit_once('\n').expect("a whole line");
        for line in whole.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
        // The target is as it was.
        flood(&mut pages);
    }
}

/// It runs on, unobserved, and its fate is told in the place of the exit code that says that memtrace failed.
#[test]
fn the_command_is_not_to_pay_for_a_full_disk() {
    for (verb, end, fate) in [
        (&["stat", "-i", "50ms"][..], "exit 5", "exit status: 5"),
        (&["trace"], "exit 5", "exit status: 5"),
        (&["trace"], "kill -9 $$", "signal: 9 (SIGKILL)"),
    ] {
        let tiny = Tiny::mount();
        let script = format!("while read line; do /bin/true; done; {end}");
        let to_file = format!(">{}", tiny.file().display());
        let mut memtrace = redirected(&to_file, &[verb, &["-o", "json", "--", "/bin/sh", "-c", &script]].concat());
        memtrace.say("again");
        wait_until("the first line", || (tiny.bytes() > 0).then_some(()));
        let objects = BpfObjects::of(memtrace.pid());
        wait_until("the disk to be full", || {
            memtrace.say("again");
            tiny.is_full().then_some(())
        });
        (0..10).for_each(|_| memtrace.say("unobserved"));
        memtrace.close_stdin();
        assert_says(&memtrace.end(), FAILED, &format!("{NO_SPACE}; the command ended with {fate}"));
        objects.wait_gone();
    }
}

#[test]
fn a_summary_that_finds_no_room_is_no_success() {
    let ended = redirected(FULL, &["stat", "--", PAGES, "run", "exit 3"]).end();
    assert_says(&ended, FAILED, &format!("{NO_SPACE}; the command ended with exit status: 3"));
}

#[test]
fn a_run_without_output_can_still_be_interrupted() {
    let tiny = Tiny::mount();
    let to_file = format!(">{}", tiny.file().display());
    let mut memtrace = redirected(&to_file, &["trace", "--", "/bin/sh", "-c", "while read line; do /bin/true; done"]);
    wait_until("the disk to be full", || {
        memtrace.say("again");
        tiny.is_full().then_some(())
    });
    let ended = memtrace.signalled(libc::SIGTERM);
    assert_says(&ended, FAILED, &format!("{NO_SPACE}; the command ended with signal: 15 (SIGTERM)"));
}

#[test]
fn what_nobody_wants_to_read_is_success() {
    let program = profiled();
    let pid = program.pid().to_string();
    let runs: [&[&str]; 9] = [
        &["doctor"],
        &["ps"],
        &["explain", "-o", "json", "-p", &pid],
        &["goroutines", "-p", &pid],
        &["heap", "-o", "pprof", "-p", &pid],
        &["stat", "-d", "100ms", "-p", &pid],
        &["stat", "-i", "50ms", "-d", "200ms", "-p", &pid],
        &["stat", "--", PAGES, "run", "ping"],
        &["trace", "--", PAGES, "run", "ping"],
    ];
    for arguments in runs {
        for redirection in [">&-", ">&- 2>&- <&-"] {
            let ended = redirected(redirection, arguments).end();
            assert_eq!(ended.code(), Some(0), "{arguments:?} {redirection}: {ended:?}");
            assert!(!ended.stderr.contains("output"), "{arguments:?} {redirection}: {ended:?}");
        }
        let quoted: Vec<String> = arguments.iter().map(|argument| format!("'{argument}'")).collect();
        let script = format!("{{ '{}' {}; echo $? >&2; }} | head -c 1", Memtrace::path().display(), quoted.join(" "));
        let ended = Memtrace::start_command(Command::new("/bin/sh").args(["-c", &script])).end();
        let last = ended.stderr.lines().last();
        assert_eq!((last, ended.lines.len()), (Some("0"), 1), "{arguments:?}: {ended:?}");
    }
}
