//! A ring of one page and a flood: much is lost, and every event of it is accounted for.
use crate::pages;
use memtrace_tests::{Memtrace, Processes as _};
use serde_json::Value;

const CALLS: u64 = 100_000;

fn flood(pages: &mut memtrace_tests::Pages) {
    pages.all(&["mmap 0p 16p"]);
    let half = CALLS / 2;
    pages.ok(&format!("par repeat {half} madvise 0p 1p willneed | repeat {half} madvise 8p 1p willneed"));
}

fn program<'a>(line: &'a Value, name: &str) -> &'a Value {
    let programs = line["account"]["programs"].as_array().expect("programs");
    programs.iter().find(|program| program["name"] == name).unwrap_or_else(|| panic!("no {name} in {line}"))
}

#[test]
fn a_flood_through_a_ring_of_one_page_is_accounted_for_to_the_last_call() {
    let mut pages = pages(&["--threads", "2"]);
    let memtrace = Memtrace::attach(pages.pid(), &["--ring-bytes", "4096"]);
    flood(&mut pages);
    // `summary` asserts the identities.
    let summary = memtrace.interrupt().summary();
    let madvise = program(&summary, "madvise");
    let count = |field: &str| madvise[field].as_u64().expect("a count");
    assert!(count("ring_full") > 0, "{madvise}");
    assert_eq!(count("hits") - count("filtered"), CALLS, "{madvise}");
    assert_eq!(count("submitted") + count("ring_full") + count("read_failed"), CALLS, "{madvise}");
    assert_eq!(count("read_failed"), 0, "{madvise}");
    let seen = &summary.process(pages.pid())["advise"]["willneed"];
    assert_eq!(seen["calls"], count("submitted"), "{seen}");
    assert_eq!(summary["account"]["lost"], count("ring_full"), "{}", summary["account"]);
}

#[test]
fn the_text_says_what_was_lost() {
    let mut pages = pages(&["--threads", "2"]);
    let pid = pages.pid().to_string();
    let mut memtrace = Memtrace::start(&["stat", "-p", &pid, "-i", "50ms", "--ring-bytes", "4096"]);
    memtrace.text_line();
    flood(&mut pages);
    let ended = memtrace.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let text = ended.lines.join("\n");
    assert!(text.contains("LOST") && text.contains("ring_full"), "{text}");
    let reason = ended.lines.iter().find(|line| line.contains("ring_full")).expect("the reason");
    assert!(reason.contains("madvise"), "{reason}");
}

#[test]
fn trace_says_what_it_could_not_keep_up_with() {
    let mut pages = pages(&["--threads", "2"]);
    let pid = pages.pid().to_string();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid, "--ring-bytes", "4096"]);
    memtrace_tests::wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    flood(&mut pages);
    let ended = memtrace.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let lines = ended.json();
    let last = lines.last().expect("lines");
    assert_eq!(last["kind"], "account", "{last}");
    memtrace_tests::assert_account(last);
    assert!(last["account"]["ring_full"].as_u64() > Some(0), "{last}");
    let events = lines.len() as u64 - 1;
    assert_eq!(last["account"]["decoded"], events, "every decoded event is one line");
}

#[test]
fn the_default_ring_loses_nothing_of_the_same_flood() {
    let mut pages = pages(&["--threads", "2"]);
    let process = crate::ledger_of(&mut pages, &[], flood);
    assert_eq!(process["advise"]["willneed"]["calls"], CALLS);
}
