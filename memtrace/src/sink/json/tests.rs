use super::*;
use crate::account::ProgramAccount;
use crate::event::*;
use crate::sink::Frame;
use crate::snapshot::*;
use serde_json::Value;
use std::collections::BTreeSet;

fn parsed(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Value {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    assert_eq!(out.last(), Some(&b'\n'));
    serde_json::from_slice(&out).unwrap()
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn has_keys(value: &Value, words: &str) {
    let missing: Vec<_> = words.split_whitespace().filter(|word| !keys(value).contains(word)).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {value}");
}

fn account() -> Account {
    let program = ProgramAccount {
        name: "p".into(),
        hits: 9,
        filtered: 3,
        summed: 1,
        submitted: 3,
        ring_full: 1,
        read_failed: 1,
    };
    Account {
        programs: vec![program],
        received: 3,
        shed: 1,
        decoded: 1,
        decode_errors: 1,
        skipped_runs: None,
        exported: None,
    }
}

fn snapshot(process: ProcessSnapshot) -> Snapshot {
    let (kind, processes) = (SnapshotKind::Summary, vec![process]);
    let (account, pressure, notes) = (account(), Vec::new(), vec!["n".into()]);
    Snapshot { kind, t_ns: u64::MAX, since_ns: 1, processes, pressure, account, notes }
}

const CALL: &str =
    "calls failed_calls asked_bytes unmapped_bytes freed_bytes refaulted_bytes approximate_calls latency_ns";
const ACCOUNT: &str =
    "hits filtered summed submitted ring_full read_failed received shed decoded decode_errors lost programs";

#[test]
fn stat_has_every_field_of_the_contract() {
    let latency = Some(LatencySnapshot { p50_ns: 1, p90_ns: 2, p99_ns: 3, max_ns: 4 });
    let call = CallSnapshot { latency, ..CallSnapshot::default() };
    let process = ProcessSnapshot {
        pid: Some(7),
        go: Some(GoBuild { version: "go1.26.0".into(), read_by: Some(ReadBy::Vote) }),
        advise: vec![("dontneed".into(), call.clone())],
        munmap: call,
        time_to_refault: Some(TimeToRefault::default()),
        heap: Some(HeapSnapshot::default()),
        returned_bytes: Some(u64::MAX),
        gap_bytes: Some(-5),
        ..ProcessSnapshot::default()
    };
    let v = parsed(|out| write_stat(out, &snapshot(process)));
    has_keys(&v, "schema kind t_ns processes account notes");
    assert_eq!((&v["schema"], &v["kind"]), (&"memtrace.stat/1".into(), &"summary".into()));
    let p = &v["processes"][0];
    has_keys(
        p,
        "pid start_time_ns comm exe go advise munmap mmap returned_bytes refaulted_bytes kept_bytes lazy_bytes
         effectiveness_ratio time_to_refault_ns rss_bytes heap retained_idle_bytes gap_bytes faults unseen_faults reclaim_stall_ns
         oom_killed exit returned_by untracked_bytes mremap brk notes",
    );
    has_keys(&p["go"], "version read_by");
    has_keys(&p["advise"]["dontneed"], CALL);
    has_keys(&p["munmap"], CALL);
    has_keys(&p["munmap"]["latency_ns"], "p50 p90 p99 max");
    has_keys(&p["mmap"], "calls bytes");
    has_keys(&p["time_to_refault_ns"], "count p50 p90 p99 max");
    has_keys(&p["rss_bytes"], "start peak end");
    has_keys(&p["heap"]["idle_bytes"], "start peak end");
    has_keys(&p["heap"], "inuse_bytes idle_bytes released_bytes");
    assert_eq!((&p["returned_bytes"], &p["gap_bytes"]), (&u64::MAX.into(), &(-5).into()));
    has_keys(&v["account"], ACCOUNT);
    assert_eq!(v["account"]["lost"], 4);
    has_keys(&v["account"]["programs"][0], "name hits filtered summed submitted ring_full read_failed");
}

#[test]
fn absent_knowledge_is_null() {
    let v = parsed(|out| write_stat(out, &snapshot(ProcessSnapshot::default())));
    let p = &v["processes"][0];
    for key in "pid go returned_bytes refaulted_bytes kept_bytes lazy_bytes effectiveness_ratio time_to_refault_ns heap
                retained_idle_bytes gap_bytes faults unseen_faults exit comm exe"
        .split_whitespace()
    {
        assert!(p[key].is_null(), "{key}");
    }
    assert_eq!(p["rss_bytes"], serde_json::json!({"start": null, "peak": null, "end": null}));
}

#[test]
fn an_exit_says_code_or_signal_and_who() {
    let exit = |code, signal, killed_by| {
        let exit = Some(ExitSnapshot { code, signal, killed_by });
        parsed(|out| write_stat(out, &snapshot(ProcessSnapshot { exit, ..Default::default() })))["processes"][0]["exit"]
            .clone()
    };
    assert_eq!(exit(Some(3), None, None), serde_json::json!({"code": 3, "killed_by": null}));
    assert_eq!(exit(None, Some(9), Some(KilledBy::Oom)), serde_json::json!({"signal": 9, "killed_by": "oom"}));
    let by = KilledBy::Process { pid: 42, comm: "kubelet".into() };
    assert_eq!(exit(None, Some(9), Some(by))["killed_by"], "pid 42 (kubelet)");
}

const TRACE: &str = "schema t_ns family op pid tid comm address length_bytes advice result duration_ns unmapped_bytes
    freed_bytes approximate heap stack";
const META: Meta = Meta { t_ns: 5, tgid: 6, tid: 7, target: 1, cpu: 0 };

#[test]
fn a_trace_line_has_every_field_of_the_contract() {
    let go = GoCounters {
        heap_inuse_bytes: 1,
        heap_released_bytes: 2,
        heap_free_bytes: 3,
        total_alloc_bytes: 4,
        total_free_bytes: 5,
        mapped_ready_bytes: 6,
    };
    let call = Call {
        address: 1 << 47,
        length_bytes: 4096,
        result: -22,
        duration_ns: 9,
        rss_before_bytes: None,
        rss_after_bytes: None,
        resident_bytes: None,
        unmapped_bytes: Some(0),
        freed_bytes: None,
        approximate: false,
        go: Some(go),
        stack_id: None,
    };
    let event = Event::Advise(AdviseEvent { meta: META, call, advice: 4, process_madvise: false });
    let stack = [Frame { function: Some("main.f".into()), file: None, line: Some(3) }];
    let line = TraceLine { event: &event, comm: Some("app"), stack: Some(&stack), message: None };
    let v = parsed(|out| write_trace(out, &line));
    has_keys(&v, TRACE);
    assert_eq!((&v["schema"], &v["family"], &v["op"]), (&TRACE_SCHEMA.into(), &"advise".into(), &"madvise".into()));
    assert_eq!((&v["advice"], &v["result"], &v["address"]), (&"dontneed".into(), &(-22).into(), &(1_u64 << 47).into()));
    has_keys(&v["heap"], "inuse_bytes released_bytes free_bytes mapped_ready_bytes total_alloc_bytes total_free_bytes");
    assert_eq!(v["stack"], serde_json::json!([{"function": "main.f", "file": null, "line": 3}]));
}

#[test]
fn a_task_has_the_same_fields_with_nulls_and_its_own_detail() {
    let event = Event::Task(TaskEvent {
        meta: META,
        what: TaskWhat::Kill { sender_tgid: 42, si_code: 0 },
        start_boottime_ns: None,
        comm: *b"kubelet\0\0\0\0\0\0\0\0\0",
        cgroup_v1_id: None,
        cgroup_v2_id: None,
        go: None,
    });
    let v = parsed(|out| write_trace(out, &TraceLine { event: &event, comm: None, stack: None, message: None }));
    has_keys(&v, TRACE);
    assert!(v["heap"].is_null() && v["stack"].is_null() && v["address"].is_null() && v["comm"].is_null());
    let detail = serde_json::json!({"sender_pid": 42, "sender_comm": "kubelet", "si_code": 0});
    assert_eq!((&v["op"], &v["detail"]), (&"kill".into(), &detail));
}

#[test]
fn a_sample_is_no_line_and_the_account_is_the_last() {
    let mut out = Vec::new();
    let event = Event::Sample(Box::default());
    write_trace(&mut out, &TraceLine { event: &event, comm: None, stack: None, message: None }).unwrap();
    assert!(out.is_empty());
    let v = parsed(|out| write_trace_account(out, 8, &account()));
    assert_eq!((&v["schema"], &v["kind"]), (&TRACE_SCHEMA.into(), &"account".into()));
    has_keys(&v["account"], ACCOUNT);
}
