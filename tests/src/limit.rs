//! A process that outgrows its memory cgroup, as `memtrace stat` tells it.
use crate::{MemoryCgroup, Memtrace, PAGE, Pages, Processes as _, assert_json};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt as _;

/// Bytes that the cgroup of these tests may have.
pub const LIMIT: u64 = 64 << 20;

/// Has the workload killed at the limit; what the summary says of it.
#[track_caller]
pub fn killed_at_limit(mut pages: Pages) -> Value {
    let group = MemoryCgroup::new("oom", LIMIT);
    let pid = pages.pid();
    group.add(pid);
    let memtrace = Memtrace::attach(pid, &[]);
    pages.all(&["mmap 0p 65536p", "madvise 0p 65536p nohugepage", "write 0p 100p", "madvise 0p 50p dontneed"]);
    let status = pages.last("write 0p 65536p");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    let summary = memtrace.end().summary();
    let process = summary.process(pid);
    let expected = json!({
        "oom_killed": true, "exit": {"signal": 9, "killed_by": "oom"},
        "advise": {"dontneed": {"unmapped_bytes": 50 * PAGE, "refaulted_bytes": 50 * PAGE}},
    });
    assert_json(process, &expected);
    assert!(process["reclaim_stalls"].as_u64() > Some(0), "{process:#}");
    // It cannot have had more than its limit, and had nearly that.
    let peak = process["rss_bytes"]["peak"].as_u64().expect("a peak");
    assert!(peak > LIMIT / 2, "{process:#}");
    process.clone()
}
