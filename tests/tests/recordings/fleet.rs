//! The queries of `deploy/queries` over recordings of many nodes, written by the product's own writer.
use memtrace::account::{Account, ProgramAccount};
use memtrace::aggregate::ProcessInfo;
use memtrace::cgroup::workload::{Workload, WorkloadBy};
use memtrace::sink::recording::{Labels, Place, Recorder, RecorderConfig, Row, When};
use memtrace::snapshot::ProcessSnapshot;
use memtrace::timeline::{Point, Signal};
use memtrace_tests::engines;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

const NODES: u64 = 12;
const MIB: u64 = 1 << 20;
/// 2026-11-25T23:59:58Z: midnight is between the samples.
const START_US: i64 = 1_795_651_198_000_000;

fn labels(pid: u32, workload: &str, release: &str) -> Labels {
    let (comm, release) = (Some(workload.to_owned()), Some(release.to_owned()));
    let info = ProcessInfo { target: pid, pid, start_time_ns: Some(7), comm, release, ..ProcessInfo::default() };
    let name = format!("shop/{workload}/app");
    Labels::of(&info, None, Some(&Workload { by: WorkloadBy::Kubernetes, name, names: None }))
}

fn at(s: u64) -> When {
    let offset_us = i64::try_from(s * 1_000_000).expect("short");
    When { t_ns: (1000 + s) * 1_000_000_000, time_us: START_US + offset_us }
}

fn point(rss: u64, heap: u64) -> Point {
    Point::at(0).with(Signal::Rss, rss * MIB).with(Signal::HeapInuse, heap * MIB)
}

/// `web` has a gap that grows with the node; `api` was released anew on the later half of the nodes and holds a half more.
fn node(store: &Path, n: u64) {
    let (directory, max_age) = (store.to_owned(), Duration::from_secs(1 << 40));
    let place = Place::Store { directory, max_bytes: u64::MAX, max_age, upload: None };
    let config = RecorderConfig { place, node: format!("node-{n:02}"), flush_interval: Duration::from_secs(3600) };
    let mut recorder = Recorder::start(config).expect("a recorder");
    let is_new = n >= NODES / 2;
    let web = labels(10, "web", "v7");
    let api = labels(11, "api", if is_new { "v2" } else { "v1" });
    let later = if is_new { 60 } else { 0 };
    for s in 0..4 {
        recorder.put(Row::sample(at(s), &web, &point(100 + n + s, 80)));
        recorder.put(Row::sample(at(later + s), &api, &point(if is_new { 300 } else { 200 }, 190)));
    }
    let ledger = |returned: u64, refaulted: u64| ProcessSnapshot {
        returned_bytes: Some(returned * MIB),
        refaulted_bytes: Some(refaulted * MIB),
        ..ProcessSnapshot::default()
    };
    // Of the earlier one nothing is counted twice.
    recorder.put(Row::ledger(at(1), &web, &ledger(10, 0)));
    recorder.put(Row::ledger(at(3), &web, &ledger(100, 75)));
    recorder.put(Row::ledger(at(3), &api, &ledger(8, 1)));
    for s in [1, 3] {
        let ring_full = if n == 3 { s * 100 } else { 0 };
        let programs =
            vec![ProgramAccount { name: "advise".to_owned(), hits: 1000, ring_full, ..ProgramAccount::default() }];
        let account = Account { programs, shed: if n == 5 { s } else { 0 }, ..Account::default() };
        Row::account(at(s), &account, 0).into_iter().for_each(|row| recorder.put(row));
    }
    recorder.finish().expect("all of it written");
    assert_eq!(recorder.counts().dropped_rows, 0);
}

#[test]
fn the_queries_say_which_workload_which_release_and_which_node() {
    let home = tempfile::tempdir().expect("a directory");
    (0..NODES).for_each(|n| node(home.path(), n));
    let glob = format!("{}/**/*.parquet", home.path().display());
    // Before and after midnight, and by the names of the directories alone.
    let days = engines::rows(&glob, "SELECT count(DISTINCT node) FROM recordings WHERE time >= '2026-11-26 00:00:00'");
    assert_eq!(days, [[NODES]]);
    assert!(home.path().join("date=2026-11-25/node=node-03").is_dir() && home.path().join("date=2026-11-26").is_dir());

    let gaps = engines::shipped(&glob, "worst_gaps_by_workload.sql");
    let of_web: u64 = (0..NODES).map(|n| 23 + n).sum();
    let of_api = NODES / 2 * (10 + 110);
    assert_eq!(
        gaps,
        [
            [json!("shop/api/app"), json!(NODES), json!(110 * MIB), json!(of_api * MIB)],
            [json!("shop/web/app"), json!(NODES), json!((23 + NODES - 1) * MIB), json!(of_web * MIB)],
        ]
    );
    let releases = engines::shipped(&glob, "releases_that_raised_rss.sql");
    let names = ["shop/api/app", "v1", "v2"].map(|name| json!(name));
    let expected: Vec<_> = names.into_iter().chain([200 * MIB, 300 * MIB, NODES / 2].map(|n| json!(n))).collect();
    assert_eq!(releases, [expected]);
    let losing = engines::shipped(&glob, "nodes_losing_events.sql");
    assert_eq!(
        losing,
        [[json!("node-03"), json!(300), json!(0), json!(0)], [json!("node-05"), json!(0), json!(3), json!(0)],]
    );
    let in_vain = engines::shipped(&glob, "returned_in_vain.sql");
    assert_eq!(
        in_vain,
        [
            [json!("shop/web/app"), json!(NODES * 100 * MIB), json!(NODES * 75 * MIB), json!(0.75)],
            [json!("shop/api/app"), json!(NODES * 8 * MIB), json!(NODES * MIB), json!(0.125)],
        ]
    );
    assert!(engines::shipped(&glob, "deaths_by_workload_and_verdict.sql").is_empty(), "nobody died");
}

#[test]
fn every_query_is_explained() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(home.join("docs/fleet.md")).expect("docs/fleet.md");
    for query in std::fs::read_dir(home.join("deploy/queries")).expect("deploy/queries") {
        let path = query.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let sql = std::fs::read_to_string(&path).expect("a file");
        assert!(page.contains(&format!("({}{name})", "../deploy/queries/")) && sql.starts_with("-- "), "{name}");
    }
}
