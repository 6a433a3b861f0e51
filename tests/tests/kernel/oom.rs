//! A memory cgroup at its limit: stalls in reclaim, and the end by the OOM killer.
use crate::pages;
use memtrace_tests::{
    LIMIT, MemoryCgroup, Memtrace, PAGE, Processes as _, assert_json, killed_at_limit, pressure_is_told,
};
use serde_json::json;

#[test]
fn an_oom_kill_is_told_with_its_stalls() {
    let process = killed_at_limit(pages(&[]));
    assert!(process["reclaim_stall_ns"].as_u64() > Some(0), "{process:#}");
}

#[test]
fn what_a_cgroup_and_the_host_tell_is_told_with_the_go_counters_of_that_instant() {
    pressure_is_told(pages(&[]));
}

#[test]
fn trace_tells_the_victim_and_its_cgroup() {
    let group = MemoryCgroup::new("victim", LIMIT);
    let mut pages = pages(&[]);
    let pid = pages.pid();
    group.add(pid);
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid.to_string()]);
    pages.all(&["mmap 0p 65536p", "madvise 0p 65536p nohugepage"]);
    memtrace_tests::wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    pages.last("write 0p 65536p");
    let ended = memtrace.end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let lines = ended.json();
    let of = |family: &str, op: &str| {
        let found: Vec<_> =
            lines.iter().filter(|l| l["family"] == family && l["op"] == op && l["pid"] == pid).collect();
        assert_eq!(found.len(), 1, "{family}/{op} lines: {lines:#?}");
        found[0].clone()
    };
    let kill = of("oom", "kill");
    assert_json(&kill, &json!({"detail": {"cgroup_v1_id": group.id(), "allocator_pid": pid}}));
    let victim = of("oom", "victim");
    let anon = victim["detail"]["anon_rss_bytes"].as_u64().expect("anon_rss_bytes");
    assert!(anon <= LIMIT + (16 << 20) && anon > LIMIT / 2, "{victim}");
    let exit = of("task", "exit");
    assert_json(&exit, &json!({"detail": {"status": 9}}));
    let time = |line: &serde_json::Value| line["t_ns"].as_u64().expect("t_ns");
    assert!(time(&kill) <= time(&exit), "{kill} {exit}");
    let stalls = lines.iter().filter(|line| line["family"] == "reclaim");
    assert!(stalls.clone().count() > 0, "{lines:#?}");
    for stall in stalls {
        assert_json(stall, &json!({"pid": pid, "detail": {"cgroup_v1_id": group.id()}}));
    }
}

#[test]
fn page_cache_over_the_limit_stalls_and_kills_nobody() {
    let group = MemoryCgroup::new("cache", 16 << 20);
    let mut pages = pages(&[]);
    group.add(pages.pid());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory on disk");
    let process = crate::ledger_of(&mut pages, &[], |pages| {
        let answer = pages.ok(&format!("cache {} 67108864", dir.path().join("cache").display()));
        assert_eq!(answer["result"], 64 << 20);
    });
    assert!(process["reclaim_stalls"].as_u64() > Some(0), "{process:#}");
    assert!(process["reclaim_stall_ns"].as_u64() > Some(0), "{process:#}");
    assert_json(&process, &json!({"oom_killed": false, "exit": null, "returned_bytes": 0}));
    assert!(group.usage_bytes() <= 16 << 20);
}

#[test]
fn a_victim_elsewhere_on_the_host_is_no_targets_death() {
    let group = MemoryCgroup::new("elsewhere", LIMIT);
    let (mut target, mut other) = (pages(&[]), pages(&[]));
    group.add(other.pid());
    let memtrace = Memtrace::attach(target.pid(), &[]);
    target.all(&["mmap 0p 64p", "write 0p 64p", "madvise 0p 64p dontneed"]);
    let pid = other.pid();
    other.all(&["mmap 0p 65536p", "madvise 0p 65536p nohugepage"]);
    other.last("write 0p 65536p");
    let summary = memtrace.interrupt().summary();
    let expected = json!({
        "oom_killed": false, "exit": null, "reclaim_stall_ns": 0, "advise": {"dontneed": {"unmapped_bytes": 64 * PAGE}},
    });
    assert_json(summary.process(target.pid()), &expected);
    // It may be named as a victim, but counts nothing of its own: it was no target.
    for process in summary.processes().iter().filter(|process| process["pid"] == pid) {
        assert_json(process, &json!({"target": 0, "oom_killed": true, "returned_bytes": 0, "mmap": {"calls": 0}}));
    }
}
