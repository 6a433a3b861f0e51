//! Deaths, as `memtrace watch-oom` tells them.
use crate::{Ended, LIMIT, MemoryCgroup, Memtrace, Truth, quiet_truth, truth_binary};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

pub const MIB: u64 = 1 << 20;

/// The dossiers; the loss account is checked.
#[track_caller]
pub fn dossiers(ended: &Ended) -> Vec<Value> {
    let mut lines = ended.lines_before_the_account();
    lines.retain(|line| line["kind"] == "dossier");
    lines
}

/// Files of dossiers in a directory.
pub fn saved_dossiers(directory: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|of| of == "json") && !path.ends_with("counters.json")).collect()
}

#[track_caller]
pub fn column(dossier: &Value, signal: &str) -> Vec<u64> {
    let values = dossier["timeline"]["signals"][signal].as_array();
    values.unwrap_or_else(|| panic!("no {signal}")).iter().filter_map(Value::as_u64).collect()
}

fn names<'a>(rows: &'a Value, field: &str) -> Vec<&'a str> {
    rows.as_array().expect("rows").iter().filter_map(|row| row[field].as_str()).collect()
}

/// A Go program that outgrows its cgroup; its dossier.
#[track_caller]
pub fn go_victim_is_told(directory: &Path) -> Value {
    const LIMIT_BYTES: u64 = 96 * MIB;
    let group = MemoryCgroup::new("dossier", LIMIT_BYTES);
    let mut truth = Truth::start(&truth_binary(), &[]);
    let pid = truth.pid();
    group.add(pid);
    // Before the first point: the kill may come before the second.
    truth.all(&["alloc 24", "gc"]);
    let memtrace = Memtrace::watching(directory, &["-p", &pid.to_string()]);
    assert_eq!(truth.last("alloc 200").signal(), Some(libc::SIGKILL));
    let ended = memtrace.end();
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    assert_eq!((&dossier["trigger"], &dossier["cause"]), (&"oom".into(), &"cgroup_oom".into()), "{dossier:#}");
    assert_eq!(dossier["victim"]["pid"], pid);
    assert_eq!((&dossier["victim"]["exit_signal"], &dossier["victim"]["killed_by"]), (&9.into(), &"oom".into()));
    assert_eq!(dossier["cgroup"]["effective_limit_bytes"], LIMIT_BYTES);
    assert_eq!(dossier["kernel"]["allocator_pid"], pid);
    // Itself the allocator: its counters are read at the kill, and cannot lie below what it had kept.
    assert!(dossier["kernel"]["heap_inuse_bytes"].as_u64() > Some(24 * MIB), "{}", dossier["kernel"]);
    // Before 5.15 the tracepoint has the pid alone.
    let anon_rss_bytes = dossier["kernel"]["anon_rss_bytes"].as_u64();
    assert!(anon_rss_bytes.is_none_or(|bytes| bytes > LIMIT_BYTES * 3 / 4), "{}", dossier["kernel"]);
    // And all statistics, as the first of its threads left.
    let words = &dossier["last_words"];
    assert!(words["heap_inuse_bytes"].as_u64() > Some(LIMIT_BYTES / 2), "{words}");
    assert!(words["gc_cycles"].as_u64() > Some(0) && words["goroutines"].as_u64() > Some(0), "{words}");
    // And its goroutines; it keeps no heap profile.
    for (what, age_ns) in [("heap profile", Value::Null), ("goroutines", 0.into())] {
        let name = format!("{what}, by the kernel on its way out");
        let sources = dossier["sources"].as_array().expect("sources");
        let source = sources.iter().find(|source| source["name"] == name.as_str()).expect("a source");
        assert!(source["age_ns"] == age_ns && source["stopped_by"].is_string(), "{source}");
    }
    // One line before the kill, one after it.
    let log = names(&dossier["kernel"]["log"], "text");
    assert!(log[0].contains("CONSTRAINT_MEMCG") && log[1].contains(&format!("Killed process {pid}")), "{log:?}");
    let anchors = names(&dossier["anchors"], "what");
    for what in [
        "kernel: SIGKILL sent",
        "kernel: victim marked",
        "kernel log: Killed process",
        "kernel: process exit",
        "runtime: last statistics",
        "go: last collection ended",
    ] {
        assert!(anchors.contains(&what), "{what} in {anchors:?}");
    }
    let charge = column(dossier, "cgroup_charge_bytes");
    assert!(charge.iter().max() > Some(&(24 * MIB)), "{charge:?}");
    assert!(column(dossier, "gc_cycles").iter().max() > Some(&0));
    // It cannot reach its limit without having stalled for reclaim.
    let events = dossier["timeline"]["events"].as_array().expect("events");
    let stalled = events.iter().find(|event| event["family"] == "reclaim" && event["op"] == "memcg");
    let stalled = stalled.unwrap_or_else(|| panic!("no stall in {events:#?}"));
    assert!(stalled["detail"]["times"].as_u64() > Some(0) && stalled["t_ns"].as_u64() > Some(0), "{stalled}");
    dossier.clone()
}

/// Two Go programs of a cgroup that is killed as a whole, which only version 2 knows.
#[track_caller]
pub fn group_kill_is_told(directory: &Path) {
    let group = MemoryCgroup::new("together", LIMIT);
    group.kill_as_a_group();
    let [mut grows, mut waits] = [(); 2].map(|()| quiet_truth());
    let pids: BTreeSet<u64> = [&grows, &waits].map(|truth| truth.pid().into()).into();
    for truth in [&mut grows, &mut waits] {
        group.add(truth.pid());
        truth.run("alloc 8");
    }
    let list: Vec<String> = pids.iter().map(u64::to_string).collect();
    let memtrace = Memtrace::watching(directory, &["-p", &list.join(",")]);
    assert_eq!(grows.last("fill").signal(), Some(libc::SIGKILL));
    let ended = memtrace.end();
    let all = dossiers(&ended);
    let told: BTreeSet<u64> = all.iter().filter_map(|dossier| dossier["victim"]["pid"].as_u64()).collect();
    assert_eq!((all.len(), &told), (2, &pids), "{}", ended.stderr);
    for dossier in &all {
        let told = (&dossier["trigger"], &dossier["cause"], &dossier["victim"]["killed_by"]);
        assert_eq!(told, (&"oom".into(), &"cgroup_oom".into(), &"oom".into()), "{dossier:#}");
        assert!(dossier["last_words"]["heap_inuse_bytes"].as_u64() > Some(8 * MIB), "{dossier:#}");
    }
}
