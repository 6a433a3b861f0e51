//! A ring of one page and a flood: much is lost, and every event of it is accounted for.
use crate::pages;
use memtrace_tests::{FLOOD_CALLS, Memtrace, PAGE, assert_account, flood, flood_accounted_for, wait_until};

#[test]
fn a_flood_through_a_ring_of_one_page_is_accounted_for_to_the_last_call() {
    flood_accounted_for(pages(&["--threads", "2"]));
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
    assert!(reason.contains("advise"), "{reason}");
}

#[test]
fn trace_says_what_it_could_not_keep_up_with() {
    let mut pages = pages(&["--threads", "2"]);
    let pid = pages.pid().to_string();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid, "--ring-bytes", "4096"]);
    wait_until("the probes", || {
        // Elsewhere and longer than the flood's.
        pages.run("madvise 100p 2p willneed");
        memtrace.has_spoken().then_some(())
    });
    flood(&mut pages);
    let ended = memtrace.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let lines = ended.json();
    let (last, events) = lines.split_last().expect("lines");
    assert_eq!(last["kind"], "account", "{last}");
    assert_account(last);
    let ring_full = last["account"]["ring_full"].as_u64().expect("ring_full");
    assert!(ring_full > 0, "{last}");
    let told =
        events.iter().filter(|event| event["length_bytes"] == PAGE && event["family"] == "advise").count() as u64;
    assert_eq!(told + ring_full, FLOOD_CALLS, "{last}");
}

#[test]
fn the_default_ring_loses_nothing_of_the_same_flood() {
    let mut pages = pages(&["--threads", "2"]);
    let process = crate::ledger_of(&mut pages, &[], flood);
    assert_eq!(process["advise"]["willneed"]["calls"], FLOOD_CALLS);
}
