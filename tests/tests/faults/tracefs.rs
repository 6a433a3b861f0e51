//! tracefs is not there, or goes. In a mount namespace of its own, so that nobody else's is touched.
use crate::{HOST, assert_says, pages, through};
use memtrace_tests::{Memtrace, PAGE, Processes as _, assert_json};
use serde_json::json;
use std::process::Command;

const UNMOUNT: &str = "umount /sys/kernel/tracing";
const REASON: &str = "tracefs is not mounted";
const FIX: &str = "mount -t tracefs nodev /sys/kernel/tracing";

/// Prepares a mount namespace by a script and runs memtrace in it.
fn after(script: &str, arguments: &[&str]) -> Memtrace {
    let script = format!("{script} && exec \"$0\" \"$@\"");
    through(&["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", &script], arguments)
}

#[test]
fn without_tracefs_one_line_says_how_to_mount_it() {
    let pid = std::process::id().to_string();
    for arguments in [["stat", "-p", &pid], ["trace", "-p", &pid], ["stat", "--", "/bin/true"]] {
        assert_says(&after(UNMOUNT, &arguments).end(), HOST, &format!("{REASON}; {FIX}"));
    }
    let ended = after(UNMOUNT, &["doctor", "-o", "json"]).end();
    assert_eq!(ended.code(), Some(HOST), "{ended:?}");
    let doctor = &ended.json()[0];
    let expected = json!({
        "ready": false, "fixes": [FIX], "blockers": [{"verdict": "unsupported", "reason": REASON, "fix": FIX}],
    });
    assert_json(doctor, &expected);
    for probe in doctor["probes"].as_array().expect("probes") {
        // The others need no tracefs, which says where the fields of a tracepoint are.
        let is_tracepoint = probe["hook"].as_str().is_some_and(|hook| hook.starts_with("tracepoint "));
        let verdict = if is_tracepoint { "unsupported" } else { "ok" };
        assert_eq!(probe["verdict"], verdict, "{probe}");
    }
}

/// What it says is what helps.
#[test]
fn the_fix_for_a_missing_tracefs_is_one() {
    let pages = pages(&[]);
    let pid = pages.pid().to_string();
    let ended = after(&format!("{UNMOUNT} && {FIX}"), &["stat", "-o", "json", "-d", "100ms", "-p", &pid]).end();
    ended.summary();
}

#[test]
fn tracefs_is_needed_only_at_the_start() {
    let mut pages = pages(&[]);
    let pid = pages.pid();
    let mut memtrace = after("true", &["stat", "-o", "json", "-i", "50ms", "-p", &pid.to_string()]);
    memtrace.interval();
    let mut unmount = Command::new("nsenter");
    unmount.args(["--target", &memtrace.pid().to_string(), "--mount", "umount", "/sys/kernel/tracing"]);
    assert!(unmount.status().expect("nsenter runs").success());
    pages.all(&["mmap 0p 64p", "madvise 0p 64p nohugepage", "write 0p 64p", "madvise 0p 32p dontneed", "write 0p 8p"]);
    assert_eq!(pages.ok("spawn 10 mmap 0p 8p, write 0p 8p, madvise 0p 5p dontneed")["result"], 10);
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{summary:#}");
    let expected = json!({
        "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 32 * PAGE, "refaulted_bytes": 8 * PAGE}},
        "untracked_bytes": 0,
    });
    assert_json(summary.process(pid), &expected);
    let calls: u64 = summary.processes().iter().filter_map(|p| p["advise"]["dontneed"]["calls"].as_u64()).sum();
    assert_eq!(calls, 11, "{summary:#}");
}
