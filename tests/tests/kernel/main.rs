//! The real binary on the real kernel: counted work, exact figures, a closed account.
mod advice;
mod exact;
mod ledger;
mod lifecycle;
mod loss;
mod oom;
mod random;
mod refault;
mod signal;
mod target;
mod words;

use memtrace_tests::{Memtrace, Pages, Processes as _};
use serde_json::Value;

const PAGES: &str = env!("CARGO_BIN_EXE_pages");

/// The workload of all these tests.
fn pages(arguments: &[&str]) -> Pages {
    Pages::start(PAGES, arguments)
}

/// What `memtrace stat -p` says in the end about the work that `work` has an idle workload do; nothing may be lost.
#[track_caller]
fn ledger_of(pages: &mut Pages, arguments: &[&str], work: impl FnOnce(&mut Pages)) -> Value {
    let memtrace = Memtrace::attach(pages.pid(), arguments);
    work(pages);
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{:#}", summary["account"]);
    summary.process(pages.pid()).clone()
}
