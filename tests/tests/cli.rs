//! The real binary as people and scripts meet it: exit codes, one-line errors, output contracts.
use memtrace_tests::{Ended, Memtrace, PAGE, Pages, Processes as _, assert_account, assert_json};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

const PAGES: &str = env!("CARGO_BIN_EXE_pages");
const LIST: &str = "mmap 0p 64p; write 0p 64p; madvise 0p 32p dontneed; write 0p 8p; munmap 0p 64p";
const USAGE: i32 = 2;
const HOST: i32 = 3;
const NO_TARGET: i32 = 4;
const NOBODY: u32 = 65534;

/// One line on stderr, nothing on stdout.
#[track_caller]
fn assert_refused(ended: &Ended, code: i32) {
    assert_eq!(ended.code(), Some(code), "{ended:?}");
    assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one line: {:?}", ended.stderr);
    assert!(ended.stderr.starts_with("memtrace: "), "{:?}", ended.stderr);
    assert_eq!(ended.lines, [""; 0]);
}

/// Without root: the binary is copied to where everybody may run it.
fn as_nobody(arguments: &[&str]) -> Ended {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir_in("/tmp").expect("a directory");
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("an open directory");
    let binary = dir.path().join("memtrace");
    std::fs::copy(Memtrace::path(), &binary).expect("a copy");
    Memtrace::start_command(Command::new(&binary).args(arguments).uid(NOBODY).gid(NOBODY)).end()
}

/// A pid nobody has: that of a child that has been waited for.
fn dead_pid() -> String {
    let mut child = Command::new("/bin/true").spawn().expect("true");
    child.wait().expect("its end");
    child.id().to_string()
}

#[test]
fn a_dead_pid_is_no_target() {
    let pid = dead_pid();
    for verb in ["stat", "trace"] {
        let ended = Memtrace::run(&[verb, "-p", &pid]);
        assert_refused(&ended, NO_TARGET);
        assert!(ended.stderr.contains(&pid), "{}", ended.stderr);
    }
}

#[test]
fn a_zombie_is_no_target() {
    let mut child = Command::new("/bin/true").spawn().expect("true");
    let pid = child.id().to_string();
    memtrace_tests::wait_until("a zombie", || {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        state.contains(") Z ").then_some(())
    });
    assert_refused(&Memtrace::run(&["stat", "-p", &pid]), NO_TARGET);
    child.wait().expect("its end");
}

#[test]
fn a_cgroup_that_is_not_there_is_no_target() {
    assert_refused(&Memtrace::run(&["stat", "-c", "/sys/fs/cgroup/memory/memtrace-test-none", "-d", "1"]), NO_TARGET);
}

#[test]
fn usage_errors_are_two() {
    let pid = std::process::id().to_string();
    let wrong: [&[&str]; 12] = [
        &[],
        &["stat"],
        &["nonsense"],
        &["stat", "-p", "x"],
        &["stat", "-p", &pid, "-a"],
        &["stat", "-p", &pid, "-d", "soon"],
        &["stat", "-p", &pid, "-d", "0"],
        &["stat", "-p", &pid, "-o", "xml"],
        &["stat", "-p", &pid, "--ring-bytes", "5000"],
        &["stat", "-p", &pid, "--max-chunks", "0"],
        &["stat", "--comm", "a[", "-d", "1"],
        &["trace", "-p", &pid, "--family", "weather"],
    ];
    for arguments in wrong {
        let ended = Memtrace::run(arguments);
        assert_eq!(ended.code(), Some(USAGE), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.lines.is_empty(), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn without_rights_one_line_says_so() {
    let pid = std::process::id().to_string();
    for arguments in [["stat", "-p", &pid], ["trace", "-p", &pid], ["stat", "--", "/bin/true"]] {
        assert_refused(&as_nobody(&arguments), HOST);
    }
}

#[test]
fn help_and_version_need_no_rights() {
    for arguments in [&["--help"][..], &["stat", "--help"], &["trace", "--help"], &["doctor", "--help"], &["--version"]]
    {
        let ended = as_nobody(arguments);
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(!ended.lines.is_empty() && ended.stderr.is_empty(), "{ended:?}");
        let wide: Vec<_> = ended.lines.iter().filter(|line| line.chars().count() > 100).collect();
        assert!(wide.is_empty(), "{arguments:?}: {wide:?}");
    }
}

#[test]
fn the_commands_exit_code_is_passed_on() {
    for (script, code) in [("exit 0", 0), ("exit 1", 1), ("exit 42", 42), ("kill -9 $$", 128 + 9)] {
        let ended = Memtrace::run(&["stat", "-o", "json", "--", "/bin/sh", "-c", script]);
        assert_eq!(ended.code(), Some(code), "{script}: {}", ended.stderr);
        ended.last_summary();
    }
    let ended = Memtrace::run(&["stat", "--", "/nonexistent/program"]);
    assert_eq!(ended.code(), Some(127), "{}", ended.stderr);
    assert!(ended.stderr.contains("/nonexistent/program"), "{}", ended.stderr);
}

#[test]
fn the_command_keeps_its_own_stdin_and_arguments() {
    let mut memtrace =
        Memtrace::start(&["stat", "-o", "json", "--", "/bin/sh", "-c", "read line; echo \"$0 $line\"", "-p"]);
    memtrace.say("hello");
    let first = memtrace.text_line();
    assert_eq!(first, "-p hello");
    let ended = memtrace.end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    ended.last_summary();
}

#[test]
fn a_closed_pipe_is_success() {
    for verb in ["stat", "trace"] {
        let pages = Pages::start(PAGES, &["--threads", "1"]);
        let pid = pages.pid().to_string();
        let mut command = Memtrace::command(&[verb, "-o", "json", "-p", &pid]);
        if verb == "stat" {
            command.args(["-i", "50ms"]);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("memtrace");
        // The reader goes before there is anything to read.
        drop(child.stdout.take());
        let mut pages = pages;
        let status = memtrace_tests::wait_until("the end of memtrace", || {
            pages.run("madvise 0p 1p willneed");
            child.try_wait().expect("a child")
        });
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("a pipe"), &mut stderr).expect("stderr");
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{verb}");
    }
}

#[test]
fn doctor_says_what_the_contract_says() {
    let ended = Memtrace::run(&["doctor", "-o", "json"]);
    assert_eq!((ended.code(), ended.lines.len()), (Some(0), 1), "{ended:?}");
    let doctor = &ended.json()[0];
    assert_json(doctor, &json!({"schema": "memtrace.doctor/1", "ready": true, "fixes": [], "blockers": []}));
    assert!(doctor["kernel"].is_string() && doctor["thp"].is_string() && doctor["psi"].is_boolean(), "{doctor:#}");
    assert!(doctor["cgroup"]["version"].is_string() && doctor["cgroup"]["memory_path"].is_string(), "{doctor:#}");
    let capabilities = doctor["capabilities"].as_array().expect("capabilities");
    assert!(
        capabilities.iter().any(|name| name.as_str().is_some_and(|name| name.to_lowercase().contains("sys_admin")))
    );
    let probes = doctor["probes"].as_array().expect("probes");
    assert!(probes.len() > 10, "{doctor:#}");
    for probe in probes {
        assert!(probe["name"].is_string() && probe["required"].is_boolean() && probe["hook"].is_string(), "{probe}");
        let verdict = probe["verdict"].as_str().expect("a verdict");
        assert!(["ok", "unsupported", "not_permitted", "broken"].contains(&verdict), "{probe}");
        assert!(probe["required"] == false || verdict == "ok", "stat runs here: {probe}");
        assert!(verdict == "ok" || probe["reason"].is_string(), "{probe}");
        for field in ["reason", "fix"] {
            assert!(probe[field].is_null() || probe[field].is_string(), "{probe}");
        }
    }
}

#[test]
fn doctor_without_rights_is_three_and_says_what_to_do() {
    let ended = as_nobody(&["doctor", "-o", "json"]);
    assert_eq!(ended.code(), Some(HOST), "{ended:?}");
    let doctor = &ended.json()[0];
    assert_eq!(doctor["ready"], false);
    let fixes = doctor["fixes"].as_array().expect("fixes");
    assert!(!fixes.is_empty(), "{doctor:#}");
    assert!(fixes.iter().all(|fix| fix.as_str().is_some_and(|fix| fix.lines().count() == 1)), "{fixes:?}");
    let text = as_nobody(&["doctor"]);
    assert_eq!(text.code(), Some(HOST), "{text:?}");
    assert!(!text.lines.is_empty());
}

#[test]
fn text_fits_a_hundred_columns_and_is_plain_in_a_pipe() {
    let runs: [&[&str]; 3] = [
        &["doctor"],
        &["stat", "-i", "50ms", "--", PAGES, "run", LIST],
        &["stat", "--exact", "--", PAGES, "run", LIST],
    ];
    for arguments in runs {
        let ended = Memtrace::run(arguments);
        assert_eq!(ended.code(), Some(0), "{arguments:?}: {}", ended.stderr);
        for line in &ended.lines {
            assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
            assert!(!line.contains('\u{1b}'), "colour in a pipe: {line:?}");
        }
    }
}

#[test]
fn text_tells_the_same_as_json() {
    let ended = Memtrace::run(&["stat", "--", PAGES, "run", LIST]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let row = |name: &str| {
        let found = ended.lines.iter().find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("no {name} row: {:#?}", ended.lines)).clone()
    };
    let dontneed = row("dontneed");
    let mut words = dontneed.split_whitespace().skip(1);
    assert_eq!((words.next(), words.next()), (Some("1"), Some("0")), "calls and failed: {dontneed}");
    // 32 pages asked and unmapped, 8 back.
    assert_eq!(dontneed.matches("128 KiB").count(), 2, "{dontneed}");
    assert!(dontneed.contains("32.0 KiB"), "{dontneed}");
    assert!(ended.lines.last().is_some_and(|line| line.starts_with("account:") && line.ends_with("0 lost")));
}

/// `number`, `string`, `bool`, `object`, `array`; with `?` null is allowed.
fn is_of(value: &Value, kind: &str) -> bool {
    let (kind, nullable) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
    match value {
        Value::Null => nullable,
        Value::Bool(_) => kind == "bool",
        Value::Number(n) => kind == "ratio" || kind == "number" && (n.is_u64() || n.is_i64()),
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

#[track_caller]
fn assert_fields(object: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        let (name, kind) = field.split_once(':').expect("name:kind");
        let value = object.get(name).unwrap_or_else(|| panic!("no field {name} in {object:#}"));
        assert!(is_of(value, kind), "{name} is {value}, not {kind}");
    }
}

const ACCOUNT: &str = "hits:number filtered:number summed:number submitted:number ring_full:number read_failed:number \
    received:number shed:number decoded:number decode_errors:number lost:number programs:array";
const CALL: &str = "calls:number failed_calls:number asked_bytes:number unmapped_bytes:number? freed_bytes:number? \
    refaulted_bytes:number? approximate_calls:number latency_ns:object?";
const PROCESS: &str = "pid:number start_time_ns:number comm:string exe:string go:object? advise:object munmap:object \
    mmap:object returned_bytes:number refaulted_bytes:number kept_bytes:number lazy_bytes:number? \
    effectiveness_ratio:ratio? time_to_refault_ns:object rss_bytes:object heap:object? retained_idle_bytes:number? \
    gap_bytes:number? faults:number reclaim_stall_ns:number oom_killed:bool exit:object?";

#[test]
fn every_field_of_the_stat_contract_is_there() {
    let mut pages = Pages::start(PAGES, &[]);
    let mut memtrace = Memtrace::attach(pages.pid(), &[]);
    pages.all(&["mmap 0p 64p", "write 0p 64p", "madvise 0p 32p dontneed", "write 0p 8p", "munmap 0p 1p"]);
    let interval = memtrace.settle();
    let summary = memtrace.interrupt().summary();
    for (line, kind) in [(&interval, "interval"), (&summary, "summary")] {
        assert_json(line, &json!({"schema": "memtrace.stat/1", "kind": kind}));
        assert_fields(line, "t_ns:number processes:array account:object");
        assert_fields(&line["account"], ACCOUNT);
        let process = line.process(pages.pid());
        assert_fields(process, PROCESS);
        assert_fields(&process["munmap"], CALL);
        assert_fields(&process["mmap"], "calls:number bytes:number");
        assert_fields(&process["rss_bytes"], "start:number peak:number end:number");
        assert_fields(&process["time_to_refault_ns"], "count:number p50:number? p90:number? p99:number? max:number?");
    }
    let process = summary.process(pages.pid());
    assert_fields(&process["advise"]["dontneed"], CALL);
    assert_fields(&process["advise"]["dontneed"]["latency_ns"], "p50:number p90:number p99:number max:number");
    assert_fields(&process["time_to_refault_ns"], "count:number p50:number p90:number p99:number max:number");
}

#[test]
fn intervals_add_up_to_the_summary() {
    let mut pages = Pages::start(PAGES, &[]);
    let mut memtrace = Memtrace::attach(pages.pid(), &[]);
    pages.all(&["mmap 0p 640p", "madvise 0p 640p nohugepage"]);
    for n in 0..10 {
        let at = n * 64;
        pages.all(&[&format!("write {at}p 64p"), &format!("madvise {at}p 32p dontneed"), &format!("write {at}p 8p")]);
        if n % 3 == 0 {
            memtrace.settle();
        }
    }
    // The last interval has ended before the summary: everything is in one of them.
    memtrace.settle();
    let ended = memtrace.interrupt();
    let summary = ended.summary();
    let lines = ended.json();
    let intervals: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "interval").collect();
    let sum = |pointer: &str| -> u64 {
        let of = |line: &&Value| line.process(pages.pid()).pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        intervals.iter().map(of).sum()
    };
    let process = summary.process(pages.pid());
    for (pointer, expected) in [
        ("/advise/dontneed/calls", 10),
        ("/advise/dontneed/asked_bytes", 320 * PAGE),
        ("/advise/dontneed/unmapped_bytes", 320 * PAGE),
        ("/mmap/bytes", 640 * PAGE),
        ("/returned_bytes", 320 * PAGE),
        ("/refaulted_bytes", 80 * PAGE),
        ("/time_to_refault_ns/count", 80),
        ("/faults", 720),
    ] {
        assert_eq!(process.pointer(pointer), Some(&json!(expected)), "{pointer} in the summary");
        assert_eq!(sum(pointer), expected, "{pointer} over {} intervals", intervals.len());
    }
    // One window after the other, without gap.
    for pair in intervals.windows(2) {
        assert_eq!(pair[0]["t_ns"], pair[1]["since_ns"]);
    }
}

#[test]
fn without_an_interval_there_is_the_summary_alone() {
    let ended = Memtrace::run(&["stat", "-o", "json", "--", PAGES, "run", LIST]);
    assert_eq!(ended.lines.len(), 1, "{:?}", ended.lines);
    ended.summary();
}

#[test]
fn trace_ends_with_its_account() {
    let ended = Memtrace::run(&["trace", "-o", "json", "--", PAGES, "run", LIST]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let lines = ended.json();
    let (last, events) = lines.split_last().expect("lines");
    assert_json(last, &json!({"schema": "memtrace.trace/1", "kind": "account", "account": {"lost": 0}}));
    assert_fields(&last["account"], ACCOUNT);
    assert_account(last);
    let fields = "schema:string t_ns:number family:string op:string pid:number tid:number comm:string? address:number? \
        length_bytes:number? advice:string? result:number? duration_ns:number? unmapped_bytes:number? \
        freed_bytes:number? approximate:bool? heap:object? stack:array?";
    for event in events {
        assert_fields(event, fields);
    }
    let of = |family: &str, op: &str| events.iter().filter(|e| e["family"] == family && e["op"] == op).count();
    assert_eq!((of("advise", "madvise"), of("task", "exec"), of("task", "exit")), (1, 1, 1), "{events:#?}");
    assert!(of("map", "mmap") > 1 && of("map", "munmap") >= 1, "{events:#?}");
    // From its first call on: a C library, with a loader or without, asks first where the heap ends.
    let maps = events.iter().filter(|event| event["family"] == "map");
    let first = maps.min_by_key(|event| event["t_ns"].as_u64()).expect("a call");
    assert_eq!(first["op"], "brk", "{events:#?}");
    let times: Vec<u64> = events.iter().filter_map(|event| event["t_ns"].as_u64()).collect();
    assert_eq!(times.len(), events.len());
}

#[test]
fn trace_shows_an_event_when_it_happens() {
    let mut pages = Pages::start(PAGES, &[]);
    let pid = pages.pid().to_string();
    let mut memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pid]);
    memtrace_tests::wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    // Nothing more happens, and yet the line comes.
    pages.ok("mmap 0p 77p");
    loop {
        let line: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
        if line["op"] == "mmap" {
            assert_json(&line, &json!({"length_bytes": 77 * PAGE, "family": "map"}));
            break;
        }
    }
    assert_eq!(memtrace.interrupt().code(), Some(0));
}
