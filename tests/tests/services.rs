//! Services as Debian ships them, stripped and built by an old Go with cgo: what memtrace reads lies between what their
//! own `/metrics` say before and after. `cargo xtask services` fetches them.
use memtrace::goruntime::{Runtime, Sample};
use memtrace_tests::{Explained, Memtrace, Service, free_ports};
use serde_json::Value;
use std::collections::BTreeMap;

const KEYS: usize = 300;
/// Goroutines that exist only while `/metrics` is answered: the connection's, and client_golang's collectors.
const SERVING: f64 = 16.0;

type Metrics = BTreeMap<String, f64>;

#[track_caller]
fn etcd() -> Service {
    let (data, [port, peer]) = (tempfile::tempdir().expect("a directory"), free_ports());
    let [client, peer] = [port, peer].map(|port| format!("http://127.0.0.1:{port}"));
    let arguments = [
        "--data-dir=data".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    Service::start("etcd", port, data, &arguments, "/health")
}

/// What the service says of its Go runtime.
#[track_caller]
fn metrics(service: &Service) -> Metrics {
    let answer = service.ask("GET", "/metrics", "").expect("an answer");
    assert!(answer.contains(" 200 OK"), "{answer}");
    let lines = answer.lines().filter(|line| line.starts_with("go_"));
    lines.map(|line| line.rsplit_once(' ').expect("a value")).map(|(n, v)| (n.into(), v.parse().unwrap())).collect()
}

/// [`metrics`] before and after a read from outside.
#[track_caller]
fn bracket<T>(service: &Service, read: impl FnOnce() -> T) -> (Metrics, T, Metrics) {
    let before = metrics(service);
    let read = read();
    (before, read, metrics(service))
}

/// By the names that client_golang gives them.
fn read_from_outside(sample: &Sample) -> Vec<(&'static str, f64)> {
    let m = &sample.memstats;
    let seconds = |ns: u64| ns as f64 / 1e9;
    let held_by_ps = m.heap_alloc - sample.heap_alloc_uncorrected;
    let bytes = [
        ("go_memstats_alloc_bytes", sample.heap_alloc_uncorrected),
        ("go_memstats_heap_alloc_bytes", sample.heap_alloc_uncorrected),
        ("go_memstats_alloc_bytes_total", m.total_alloc - held_by_ps),
        ("go_memstats_mallocs_total", sample.mallocs_uncorrected),
        ("go_memstats_frees_total", sample.frees_uncorrected),
        ("go_memstats_heap_objects", sample.mallocs_uncorrected - sample.frees_uncorrected),
        ("go_memstats_lookups_total", m.lookups),
        ("go_memstats_sys_bytes", m.sys),
        ("go_memstats_heap_sys_bytes", m.heap_sys),
        ("go_memstats_heap_idle_bytes", m.heap_idle),
        ("go_memstats_heap_inuse_bytes", m.heap_inuse),
        ("go_memstats_heap_released_bytes", m.heap_released),
        ("go_memstats_stack_inuse_bytes", m.stack_inuse),
        ("go_memstats_stack_sys_bytes", m.stack_sys),
        ("go_memstats_mspan_inuse_bytes", m.mspan_inuse),
        ("go_memstats_mspan_sys_bytes", m.mspan_sys),
        ("go_memstats_mcache_inuse_bytes", m.mcache_inuse),
        ("go_memstats_mcache_sys_bytes", m.mcache_sys),
        ("go_memstats_buck_hash_sys_bytes", m.buck_hash_sys),
        ("go_memstats_gc_sys_bytes", m.gc_sys),
        ("go_memstats_other_sys_bytes", m.other_sys),
        ("go_memstats_next_gc_bytes", m.next_gc),
        ("go_gc_duration_seconds_count", m.num_gc.into()),
        ("go_threads", sample.threads),
    ];
    let times = [
        ("go_memstats_last_gc_time_seconds", seconds(m.last_gc)),
        ("go_gc_duration_seconds_sum", seconds(m.pause_total_ns)),
    ];
    bytes.map(|(name, value)| (name, value as f64)).into_iter().chain(times).collect()
}

/// What lies outside. Without a collection in between nothing goes up and down again; where before and after are equal,
/// and they mostly are, so must be what was read.
fn outside((before, sample, after): &(Metrics, Sample, Metrics)) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in read_from_outside(sample) {
        let (before, after) = (before[name], after[name]);
        if !(before.min(after)..=before.max(after)).contains(&value) {
            wrong.push(format!("{name}: {before}, read {value}, {after}"));
        }
    }
    let known = |name: &str| read_from_outside(sample).iter().any(|(known, _)| *known == name);
    let others = before.keys().filter(|name| name.starts_with("go_memstats") && !known(name));
    wrong.extend(others.map(|name| format!("{name}: not read")));
    let served = before["go_goroutines"].max(after["go_goroutines"]);
    if !(served - SERVING..=served).contains(&(sample.num_goroutine as f64)) {
        wrong.push(format!("go_goroutines: {served}, read {}", sample.num_goroutine));
    }
    wrong
}

/// The runtime never rests in a service: a collection, the sweep behind it or a scrape by itself may fall between. What
/// is read wrongly is wrong every time.
#[track_caller]
fn assert_bracketed(service: &Service) {
    let runtime = Runtime::attach(service.pid()).expect("a Go runtime");
    let mut sampler = runtime.sampler().expect("a sampler");
    let mut wrong = Vec::new();
    for _ in 0..20 {
        let bracket = bracket(service, || sampler.sample(&runtime).expect("a sample"));
        wrong = outside(&bracket);
        if wrong.is_empty() {
            return;
        }
    }
    panic!("outside of the service's own figures:\n{}", wrong.join("\n"));
}

/// `load` moves the heap between two looks.
#[track_caller]
fn check(service: &Service, name: &str, load: impl Fn(usize)) {
    let pid = service.pid();
    let process = Memtrace::json(&["ps"]);
    let process = process["processes"].as_array().expect("processes").iter().find(|process| process["pid"] == pid);
    let process = process.unwrap_or_else(|| panic!("ps does not show {name}"));
    let build = serde_json::json!({"stripped": true, "pie": false, "cgo": true});
    assert_eq!((&process["go_version"], &process["read_by"]), (&"go1.19.8".into(), &"vote".into()), "{process}");
    assert_eq!((&process["build"], &process["comm"]), (&build, &name.into()), "{process}");

    assert_bracketed(service);
    let allocated = metrics(service)["go_memstats_alloc_bytes_total"];
    (0..KEYS).for_each(load);
    assert!(metrics(service)["go_memstats_alloc_bytes_total"] > allocated + (1 << 20) as f64);
    assert_bracketed(service);

    let explained = Explained::of(pid);
    explained.assert_mostly_known(name);
    assert_eq!(explained.0["warnings"], Value::Array(Vec::new()), "{:#}", explained.0);
    for bucket in ["live_heap", "binary_text", "goroutine_stacks_in_use", "metadata_profiling", "thread_stacks"] {
        assert!(explained.bucket(bucket) > 0, "no {bucket} in {:#}", explained.0);
    }

    let (before, all, after) = bracket(service, || Memtrace::json(&["goroutines", "-p", &pid.to_string()]));
    let counted = all["counted"].as_f64().expect("a count");
    let served = before["go_goroutines"].max(after["go_goroutines"]);
    assert!((served - SERVING..=served).contains(&counted), "{counted} of {served} goroutines");
    assert_eq!((&all["damaged"], all["groups"].as_array().map(Vec::is_empty)), (&0.into(), Some(false)), "{all:#}");

    let heap = Memtrace::json(&["heap", "-p", &pid.to_string()]);
    assert_eq!((&heap["rate_bytes"], &heap["left_out"]), (&(512 << 10).into(), &0.into()), "{name}");
    // The unsampled estimate of a heap is right within a factor.
    let (profiled, live) = (heap["total"]["inuse_bytes"].as_f64(), explained.0["memstats"]["heap_marked"].as_f64());
    let (profiled, live) = (profiled.expect("bytes"), live.expect("bytes"));
    assert!(profiled > live / 4.0 && profiled < live * 4.0, "{name}: {profiled} profiled, {live} live");
}

#[test]
fn prometheus_is_read_as_it_reads_itself() {
    let service = Service::prometheus(&[]);
    check(&service, "prometheus", |_| {
        let answer = service.ask("GET", "/api/v1/query?query=sum(rate(go_memstats_mallocs_total[1m]))", "");
        assert!(answer.is_some_and(|answer| answer.contains("\"success\"")));
    });
}

#[test]
fn etcd_is_read_as_it_reads_itself() {
    let service = etcd();
    check(&service, "etcd", |key| {
        // Base64 of a key of 6 bytes and a value of 3 KiB.
        let body = format!("{{\"key\":\"key{key:05}\",\"value\":\"{}\"}}", "0123".repeat(1 << 10));
        let answer = service.ask("POST", "/v3/kv/put", &body);
        assert!(answer.is_some_and(|answer| answer.contains("revision")));
    });
}
