//! `memtrace record`, `replay` and what the agent records: what other engines read is what the programs count.
mod agent;
mod bucket;
mod fleet;
mod signed;
mod upload;

use memtrace_tests::{Ended, Memtrace, PAGE, Pages, assert_account, engines, quiet_truth, wait_until};
use serde_json::{Value, json};
use std::path::Path;

const COUNTS: [(&str, &str); 4] = [
    ("heap_inuse_bytes", "heap_inuse_bytes"),
    ("heap_idle_bytes", "heap_idle_bytes"),
    ("heap_released_bytes", "heap_released_bytes"),
    ("gc_cycles", "num_gc"),
];

/// From the line on that says who is watched.
#[track_caller]
fn record(to: &Path, arguments: &[&str]) -> Memtrace {
    let to = to.to_str().expect("UTF-8");
    let fixed = ["record", "--output", "json", "--node", "n1", "-i", "100ms", "-o", to];
    let mut memtrace = Memtrace::start(&[&fixed, arguments].concat());
    let start: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
    assert_eq!((&start["kind"], &start["directory"]), (&json!("start"), &json!(to)), "{start}");
    memtrace
}

#[track_caller]
fn ended_well(memtrace: Memtrace) -> Ended {
    let ended = memtrace.interrupt();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let account = ended.json().pop().expect("an account");
    assert_account(&account);
    assert_eq!(account["account"]["lost"], 0, "{account}");
    ended
}

#[track_caller]
fn replay(path: &Path, arguments: &[&str]) -> Ended {
    Memtrace::run(&[&["replay", path.to_str().expect("UTF-8")], arguments].concat())
}

#[track_caller]
fn replayed(path: &Path, arguments: &[&str]) -> Vec<Value> {
    let ended = replay(path, &[arguments, &["-o", "json"]].concat());
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    ended.json()
}

#[test]
fn a_recording_has_what_the_programs_count() {
    let home = tempfile::tempdir().expect("a directory");
    let mut truth = quiet_truth();
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let pids = [truth.pid(), pages.pid()];
    let store = home.path().join("store");
    let memtrace = record(&store, &["--flush-interval", "200ms", "-p", &pids.map(|pid| pid.to_string()).join(",")]);
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
    pages.all(&["madvise 0p 300p dontneed", "write 0p 70p", "munmap 1000p 24p"]);
    truth.all(&["alloc 24", "free", "gc", "alloc 8"]);
    let (said, ()) = truth.compare(|| ());

    // While it is being written: what is there can be read.
    let of_truth = wait_until("the heap as it is now", || {
        let is_there = store.exists() && !replay(&store, &[]).lines.is_empty();
        let of = is_there.then(|| replayed(&store, &[]))?.into_iter().find(|of| of["pid"] == truth.pid())?;
        COUNTS.iter().all(|(name, key)| of[name]["last"] == said[key]).then_some(of)
    });
    assert_eq!((&of_truth["comm"], &of_truth["node"]), (&json!("truth"), &json!("n1")), "{of_truth}");
    ended_well(memtrace);

    let returned = (300 + 24) * PAGE;
    let of_pages = replayed(&store, &[]).into_iter().find(|of| of["pid"] == pages.pid()).expect("a process");
    let ledger = &of_pages["ledger"];
    assert_eq!((&ledger["returned_bytes"], &ledger["refaulted_bytes"]), (&json!(returned), &json!(70 * PAGE)));
    assert_eq!(ledger["kept_bytes"], returned - 70 * PAGE, "{of_pages}");
    assert_eq!(of_pages["heap_inuse_bytes"]["last"], Value::Null, "no Go program has no heap");

    let glob = format!("{}/**/*.parquet", store.display());
    let last = |columns: &str, kind: &str, pid: u32| {
        let sql = format!(
            "SELECT {columns} FROM recordings WHERE kind = '{kind}' AND pid = {pid} AND node = 'n1' ORDER BY t_ns DESC LIMIT 1"
        );
        engines::rows(&glob, &sql).pop().expect("a row")
    };
    let heap = last("heap_inuse_bytes, heap_idle_bytes, heap_released_bytes, gc_cycles, go_version", "sample", pids[0]);
    let counted: Vec<Value> =
        COUNTS.iter().map(|(_, key)| said[key].clone()).chain([json!(truth.go_version)]).collect();
    assert_eq!(heap, counted);
    let columns = "returned_bytes, refaulted_bytes, kept_bytes, dontneed_calls, dontneed_unmapped_bytes, munmap_calls, \
                   munmap_unmapped_bytes, advised_bytes";
    let expected =
        [returned, 70 * PAGE, returned - 70 * PAGE, 1, 300 * PAGE, 1, 24 * PAGE, 300 * PAGE].map(|n| json!(n));
    assert_eq!(last(columns, "ledger", pids[1]), expected);
    // The loss account closes in it, too.
    let sql = "SELECT count(*) FROM recordings WHERE kind = 'account' AND hits <> filtered + summed + submitted + ring_full + read_failed \
               AND t_ns = (SELECT max(t_ns) FROM recordings)";
    assert_eq!(engines::rows(&glob, sql), [[0]]);
}

#[test]
fn one_file_has_the_events_and_the_deaths_as_they_were_told() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("one.parquet");
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let pid = pages.pid();
    let mut memtrace = record(&file, &["-p", &pid.to_string()]);
    pages.all(&[
        "mmap 0p 64p",
        "madvise 0p 64p nohugepage",
        "write 0p 64p",
        "madvise 0p 16p dontneed",
        "madvise 16p 8p dontneed",
    ]);
    assert!(!file.exists(), "it is whole only at the end");
    pages.signal(libc::SIGKILL);
    let dossier = memtrace.text_line();
    let ended = memtrace.end();
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(std::fs::read_dir(home.path()).expect("a directory").count(), 1, "nothing unfinished stays");

    let events = replayed(&file, &["--trace"]);
    let advice: Vec<_> = events.iter().filter(|of| of["advice"] == "dontneed").collect();
    let unmapped: Vec<u64> = advice.iter().map(|of| of["unmapped_bytes"].as_u64().expect("bytes")).collect();
    assert_eq!(unmapped, [16 * PAGE, 8 * PAGE]);
    assert!(events.iter().any(|of| of["op"] == "kill" && of["pid"] == pid), "{events:?}");
    let text = replay(&file, &["--trace"]);
    assert_eq!(text.lines.len(), 1 + events.len());
    assert!(
        text.lines[0].contains("address range") && text.lines.iter().any(|line| line.contains("64.0 KiB dontneed"))
    );

    let deaths = replay(&file, &["--oom", "-o", "json"]);
    assert_eq!(deaths.lines, std::slice::from_ref(&dossier));
    let saved = home.path().join("saved");
    std::fs::create_dir(&saved).expect("a directory");
    let id = deaths.json()[0]["id"].as_str().expect("an id").to_owned();
    std::fs::write(saved.join(format!("{id}.json")), &dossier).expect("a file");
    let shown = Memtrace::run(&["oom", "show", &id, "--dir", saved.to_str().expect("UTF-8")]);
    assert_eq!((replay(&file, &["--oom"]).lines, shown.code()), (shown.lines, Some(0)));

    let glob = file.to_str().expect("UTF-8");
    let sql = "SELECT exit_signal, returned_bytes FROM recordings WHERE kind = 'ledger' ORDER BY t_ns DESC LIMIT 1";
    assert_eq!(engines::rows(glob, sql), [[json!(9), json!(24 * PAGE)]]);
    let sql = "SELECT \"trigger\", cause, dossier, exe FROM recordings WHERE kind = 'oom'";
    let exe = env!("CARGO_BIN_EXE_pages");
    assert_eq!(engines::rows(glob, sql), [[json!("kill"), json!("killed"), json!(id), json!(exe)]]);
    let death = deaths.json().remove(0);
    let of = |pointer| death.pointer(pointer).expect("a value").clone();
    let counted = [of("/workload/name"), json!("kill"), of("/verdict/pattern"), json!(1), json!(1)];
    assert_eq!(engines::shipped(glob, "deaths_by_workload_and_verdict.sql"), [counted]);
    // All of a close look is RSS.
    let looks = replayed(&file, &["--explain"]);
    let [look] = looks.as_slice() else { panic!("{looks:?}") };
    let sum: u64 = look["buckets"].as_object().expect("buckets").values().filter_map(Value::as_u64).sum();
    assert_eq!((look["rss_bytes"].as_u64(), &look["pid"]), (Some(sum), &json!(pid)));
}

#[test]
fn events_and_ledger_of_a_command_and_its_children_agree() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("command.parquet");
    let arguments = ["record", "-o", file.to_str().expect("UTF-8"), "--", "/bin/sh", "-c", "/bin/true; exit 3"];
    let ended = Memtrace::run(&arguments);
    assert_eq!(ended.code(), Some(3), "{}", ended.stderr);
    let glob = file.to_str().expect("UTF-8");
    let sql =
        "SELECT max(exit_code), count(*) FROM recordings WHERE kind = 'ledger' GROUP BY pid ORDER BY max(exit_code)";
    assert_eq!(engines::rows(glob, sql), [[0, 1], [3, 1]], "one ledger each, after its end");
    let sql = "SELECT sum(munmap_calls), sum(munmap_unmapped_bytes) FROM recordings WHERE kind = 'ledger'";
    let ledger = engines::rows(glob, sql);
    let sql = "SELECT count(*), sum(unmapped_bytes) FROM recordings WHERE kind = 'event' AND op = 'munmap'";
    assert_eq!(engines::rows(glob, sql), ledger);
    assert!(ledger[0][0].as_u64() > Some(1), "{ledger:?}");
    let names = "SELECT DISTINCT comm FROM recordings WHERE kind = 'event' AND op = 'exit' ORDER BY comm";
    assert_eq!(engines::rows(glob, names), [["sh"], ["true"]]);
}

#[test]
fn what_cannot_be_read_or_written_is_said_in_one_line() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("short.parquet");
    for (content, why) in
        [(&b""[..], "no Parquet file"), (b"PAR1PAR1PAR1", "no Parquet file"), (&[0; 4096], "no Parquet file")]
    {
        std::fs::write(&file, content).expect("a file");
        let ended = replay(&file, &[]);
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{}", ended.stderr);
        assert!(ended.stderr.contains(why) && ended.stderr.contains("short.parquet"), "{}", ended.stderr);
    }
    let damaged = Path::new(env!("CARGO_MANIFEST_DIR")).join("../memtrace/src/sink/recording/cut_run.parquet");
    let ended = replay(&damaged, &[]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{}", ended.stderr);
    let ended = replay(&home.path().join("none"), &[]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{}", ended.stderr);
    let nowhere = home.path().join("none/a.parquet");
    let ended = Memtrace::run(&["record", "-a", "-d", "1", "-o", nowhere.to_str().expect("UTF-8")]);
    assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(3), 1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot record in"), "{}", ended.stderr);
}
