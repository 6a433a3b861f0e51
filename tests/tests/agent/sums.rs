//! Whom nobody named is not told of call by call: the kernel adds up, and the sums are those of the calls.
use memtrace_tests::{Memtrace, PAGE, Pages, dossiers, saved_dossiers, sums_are_those_of_the_calls, wait_until};

const PAGES: &str = env!("CARGO_BIN_EXE_pages");

#[test]
fn what_is_added_up_is_what_one_who_is_told_each_call_counts() {
    sums_are_those_of_the_calls(PAGES);
}

/// Between two points, just before its end.
#[test]
fn the_last_calls_of_one_that_is_killed_are_in_its_dossier() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut pages = Pages::start(PAGES, &[]);
    let memtrace = Memtrace::watching(directory.path(), &["--trigger", "kill", "--exe", PAGES]);
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p", "madvise 0p 300p dontneed"]);
    pages.signal(libc::SIGKILL);
    wait_until("its dossier", || saved_dossiers(directory.path()).pop());
    let ended = memtrace.interrupt();
    let [dossier] = &dossiers(&ended)[..] else { panic!("one dossier: {}", ended.stderr) };
    assert_eq!(dossier["ledger"]["returned_bytes"], 300 * PAGE, "{dossier:#}");
}
