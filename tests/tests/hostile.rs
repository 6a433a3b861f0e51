//! Processes that are large, change, exec or end while they are looked at: right figures or one clear line, within two
//! seconds and 64 MiB.
use memtrace_tests::matrix::{built, run, start};
use memtrace_tests::{Child, Measured, Stops, rss_bytes, status_bytes, wait_until};
use serde_json::Value;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const RELEASE: &str = "1.26.6";
const WALL_MAX: Duration = Duration::from_secs(2);
const PEAK_MAX_BYTES: u64 = 64 << 20;
const GIB: u64 = 1 << 30;
/// What may be asked of one process.
const VERBS: &[&str] = &["explain", "goroutines", "heap"];

/// `heap` of this program: it keeps no profile.
const NO_PROFILE: i32 = 3;
const FAILED: i32 = 1;
const NO_TARGET: i32 = 4;

#[track_caller]
fn ask(verb: &str, pid: u32) -> Measured {
    let pid = pid.to_string();
    let arguments: &[&str] = if verb == "ps" { &["ps", "-o", "json"] } else { &[verb, "-o", "json", "-p", &pid] };
    let measured = Measured::run(arguments);
    println!("{verb}: {:?}, {} KiB, {:?}", measured.wall, measured.peak_bytes >> 10, measured.code);
    assert!(!measured.stderr.contains("panicked"), "{verb}: {}", measured.stderr);
    assert!(measured.code.is_some(), "{verb} was killed: {}", measured.stderr);
    assert!(measured.wall <= WALL_MAX, "{verb} took {:?}", measured.wall);
    assert!(measured.peak_bytes <= PEAK_MAX_BYTES, "{verb} took {} bytes", measured.peak_bytes);
    measured
}

#[track_caller]
fn answer(verb: &str, pid: u32) -> Value {
    ask(verb, pid).json()
}

/// What `ps` says of it.
#[track_caller]
fn listed(pid: u32) -> Value {
    let all = answer("ps", pid);
    let found = all["processes"].as_array().expect("processes").iter().find(|process| process["pid"] == pid);
    found.unwrap_or_else(|| panic!("{pid} is not in {all}")).clone()
}

fn number(json: &Value, field: &str) -> u64 {
    json[field].as_u64().unwrap_or_else(|| panic!("no {field} in {json}"))
}

#[track_caller]
fn assert_sum(explained: &Value) {
    let buckets = explained["buckets"].as_array().expect("buckets");
    let sum: u64 = buckets.iter().map(|bucket| number(bucket, "bytes")).sum();
    assert_eq!(sum + number(explained, "unknown_bytes"), number(explained, "rss_bytes"), "{explained:#}");
}

/// Succeeded with figures that can be, or failed with one line: the process execs or ends meanwhile.
#[track_caller]
fn assert_clear(verb: &str, measured: &Measured) {
    match measured.code {
        Some(0) if verb == "explain" => assert_sum(&measured.json()),
        Some(0) => drop(measured.json()),
        Some(NO_PROFILE) if verb == "heap" => {}
        code => {
            assert!(matches!(code, Some(FAILED | NO_TARGET)), "{verb}: {code:?}, {}", measured.stderr);
            assert_eq!((measured.stdout.as_str(), measured.stderr.lines().count()), ("", 1), "{}", measured.stderr);
        }
    }
}

fn program() -> Child {
    start(&mut Command::new(built(RELEASE, "stripped")))
}

/// Of a process that must be the same after all verbs.
fn state(pid: u32) -> (u64, u64) {
    (rss_bytes(pid), status_bytes(pid, "VmPTE"))
}

fn at_rest(pid: u32) -> (u64, u64) {
    let mut before = state(pid);
    wait_until("the program to be at rest", || {
        std::thread::sleep(Duration::from_millis(50));
        let last = std::mem::replace(&mut before, state(pid));
        (last == before).then_some(last)
    })
}

#[test]
fn a_million_spans_are_all_counted() {
    let mut program = program();
    run(&mut program, "spans 1000000");
    let pid = program.pid();
    let before = at_rest(pid);
    let explained = answer("explain", pid);
    assert_sum(&explained);
    assert!(explained["memstats"]["heap_inuse"].as_u64() >= Some(1_000_000 * 8192), "{explained:#}");
    assert!(number(&explained, "unknown_bytes") * 50 <= number(&explained, "rss_bytes"), "{explained:#}");
    assert!(number(&listed(pid), "heap_inuse_bytes") >= 1_000_000 * 8192);
    assert_eq!(number(&answer("goroutines", pid), "num_goroutine"), 1);
    assert_eq!(ask("heap", pid).code, Some(NO_PROFILE));
    assert_eq!(state(pid), before, "RSS or page tables have changed");
}

#[test]
fn fifty_gigabytes_of_address_space_cost_nothing() {
    let mut program = program();
    run(&mut program, "reserve 50");
    let pid = program.pid();
    assert!(status_bytes(pid, "VmSize") > 50 * GIB);
    let before = at_rest(pid);
    let explained = answer("explain", pid);
    assert_sum(&explained);
    assert_eq!(number(&listed(pid), "rss_bytes"), before.0);
    assert_eq!(number(&explained, "rss_bytes"), before.0, "{explained:#}");
    assert_eq!(state(pid), before, "RSS or page tables have changed");
}

#[test]
fn goroutines_are_counted_and_beyond_the_cap_estimated() {
    for (parked, one_in) in [(100_000, 1), (300_000, 2)] {
        let mut program = program();
        run(&mut program, &format!("park {parked}"));
        let pid = program.pid();
        let found = answer("goroutines", pid);
        assert_eq!((number(&found, "num_goroutine"), number(&found, "one_in")), (parked + 1, one_in), "{found}");
        let group = found["groups"].as_array().and_then(|groups| groups.first()).expect("a group");
        assert_eq!(group["start"]["function"], "main.park.func1", "{found}");
        assert!(number(group, "count").abs_diff(parked) < 2 * one_in, "{found}");
        if one_in == 1 {
            assert_eq!((number(group, "count"), number(&found, "counted")), (parked, parked + 1), "{found}");
        }
        assert_sum(&answer("explain", pid));
        assert!(listed(pid)["refused"].is_null());
    }
}

#[test]
fn a_process_that_execs_over_and_over_is_read_or_named() {
    let mut program = program();
    let pid = program.pid();
    let (is_over, execs) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                program.say("exec");
                program.line().expect("the program again");
                execs.fetch_add(1, Relaxed);
            }
        });
        let _stops = Stops(&is_over);
        for verb in VERBS.iter().chain(&["ps"]) {
            (0..50).for_each(|_| assert_clear(verb, &ask(verb, pid)));
        }
    });
    assert!(execs.into_inner() > 200);
}

#[test]
fn processes_that_end_while_they_are_read_are_read_or_gone() {
    let pid = AtomicU32::new(std::process::id());
    let (is_over, ended) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let mut program = program();
                pid.store(program.pid(), Relaxed);
                // Not before somebody may look.
                run(&mut program, "gc");
                drop(program);
                ended.fetch_add(1, Relaxed);
            }
        });
        let _stops = Stops(&is_over);
        wait_until("a program", || (ended.load(Relaxed) > 0).then_some(()));
        for verb in VERBS.iter().chain(&["ps"]) {
            (0..50).for_each(|_| assert_clear(verb, &ask(verb, pid.load(Relaxed))));
        }
    });
    assert!(ended.into_inner() > 50);
}

#[test]
fn memory_that_changes_under_the_reader_is_read() {
    let mut program = program();
    run(&mut program, "load 4");
    let pid = program.pid();
    for _ in 0..30 {
        assert_sum(&answer("explain", pid));
        assert!(number(&answer("goroutines", pid), "num_goroutine") >= 5);
        assert_eq!(ask("heap", pid).code, Some(NO_PROFILE));
        assert!(number(&listed(pid), "rss_bytes") > 0);
    }
}

#[test]
fn five_thousand_mappings_of_a_process_that_is_not_gos() {
    let file = tempfile::tempfile().expect("a file");
    file.set_len(8192).expect("two pages");
    let map = |index: usize| {
        // Neighbours differ in their rights, so that they stay mappings of their own.
        let rights = if index.is_multiple_of(2) { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_EXEC };
        // SAFETY: a new mapping of a file, where the kernel likes.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        assert_ne!(at, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        at
    };
    let mappings: Vec<_> = (0..5000).map(map).collect();
    let pid = std::process::id();
    let lines = fs::read_to_string("/proc/self/maps").expect("maps").lines().count();
    assert!(lines > 5000, "{lines} mappings");
    let explained = answer("explain", pid);
    assert_sum(&explained);
    assert!(explained["go"].is_null());
    assert_eq!(ask("goroutines", pid).code, Some(NO_TARGET));
    answer("ps", pid);
    for at in mappings {
        // SAFETY: mapped above, and used by nobody.
        assert_eq!(unsafe { libc::munmap(at, 4096) }, 0);
    }
}

#[test]
fn a_go_library_behind_two_hundred_others_is_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, first) = (dir.path().join("0.c"), dir.path().join("0.so"));
    fs::write(&source, "int f(void) { return 0; }\n").expect("a source");
    let mut compiler = Command::new("gcc");
    compiler.args(["-shared", "-nostdlib", "-o"]).arg(&first).arg(&source);
    assert!(compiler.status().expect("gcc runs").success());
    let library = built(RELEASE, "shared");
    // The first to be loaded has the highest address, and so is the last in the list.
    let mut preload = library.display().to_string();
    for index in 1..=200 {
        let copy = dir.path().join(format!("{index}.so"));
        fs::copy(&first, &copy).expect("a copy");
        preload.push_str(&format!(":{}", copy.display()));
    }
    let host = built(RELEASE, "shared").ancestors().nth(3).expect("target/matrix").join("host");
    let program = start(Command::new(host).arg(&library).env("LD_PRELOAD", preload));
    let maps = fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("maps");
    let code: Vec<&str> = maps.lines().filter(|line| line.contains(" r-xp ") && line.contains('/')).collect();
    let before = code.iter().position(|line| line.ends_with("shared/program")).expect("the library");
    assert!(before >= 200, "{before} before it in {maps}");
    let found = listed(program.pid());
    assert_eq!((&found["go_version"], &found["refused"]), (&Value::from("go1.26.6"), &Value::Null), "{found}");
    assert_eq!(number(&answer("goroutines", program.pid()), "num_goroutine"), 1);
}

#[test]
fn a_deleted_executable_in_another_mount_namespace_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let inside = dir.path().join("program");
    let script = "mount -t tmpfs none \"$0\" && cp \"$1\" \"$0/program\" && exec \"$0/program\"";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c", script]).arg(dir.path());
    let program = start(unshare.arg(built(RELEASE, "stripped")));
    let pid = program.pid();
    assert!(!inside.exists(), "only there");
    fs::remove_file(format!("/proc/{pid}/root{}", inside.display())).expect("removed in its namespace");
    let found = listed(pid);
    assert!(found["refused"].is_null() && found["read_by"] == "vote", "{found}");
    assert!(number(&found, "heap_inuse_bytes") > 0, "{found}");
    let found = answer("goroutines", pid);
    assert_eq!(found["groups"][0]["start"]["function"], "runtime.main", "{found}");
    assert_sum(&answer("explain", pid));
}
