//! More calls than a ring can hold.
use crate::{Memtrace, Pages, Processes as _};
use serde_json::Value;

/// Of a flood.
pub const FLOOD_CALLS: u64 = 100_000;

/// By two threads at once; the workload must have them.
#[track_caller]
pub fn flood(pages: &mut Pages) {
    pages.all(&["mmap 0p 16p"]);
    let half = FLOOD_CALLS / 2;
    pages.ok(&format!("par repeat {half} madvise 0p 1p willneed | repeat {half} madvise 8p 1p willneed"));
}

/// Through a ring of one page: every call is in the ledger, in the loss account or, on kernels that start no probe on a CPU
/// inside bpf(), among the runs that the kernel says it skipped. The summary.
#[track_caller]
pub fn flood_accounted_for(mut pages: Pages) -> Value {
    let memtrace = Memtrace::attach(pages.pid(), &["--ring-bytes", "4096"]);
    flood(&mut pages);
    // `summary` asserts the identities.
    let summary = memtrace.interrupt().summary();
    let account = &summary["account"];
    let count = |field: &str| account[field].as_u64().expect("a count");
    assert!(count("ring_full") > 0, "{account}");
    assert_eq!((count("read_failed"), count("shed"), count("decode_errors")), (0, 0, 0), "{account}");
    let seen = summary.process(pages.pid())["advise"]["willneed"]["calls"].as_u64().expect("calls");
    let unseen = FLOOD_CALLS.checked_sub(seen + count("ring_full"));
    // What is skipped is counted for all probes of the host: a bound, and 0 where the kernel skips or counts none.
    let skipped = account["skipped_runs"].as_u64().unwrap_or(0);
    assert!(unseen.is_some_and(|calls| calls <= skipped), "{unseen:?} calls are in no account: {summary:#}");
    assert_eq!(count("lost"), count("ring_full"), "{account}");
    summary
}
