//! Without root: what each right gives, and what is said where it is missing. The table is in docs/limits.md.
use crate::{HOST, PAGES, assert_says, pages, profiled};
use memtrace_tests::matrix::built;
use memtrace_tests::{Ended, Memtrace, PAGE, Processes as _, assert_json};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

const NOBODY: &str = "65534";
const BPF: &str = "+bpf,+perfmon";
const BPF_AND_PTRACE: &str = "+bpf,+perfmon,+sys_ptrace";
const TRACE: &str = "+bpf,+perfmon,+dac_read_search";
const ALL: &str = "+bpf,+perfmon,+sys_ptrace,+dac_read_search";
const FIX: &str = "run as root, or setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep memtrace";
const WORK: &str = "mmap 0p 64p; write 0p 64p; madvise 0p 32p dontneed; write 0p 8p; munmap 0p 64p";

/// The binaries where everybody may run them.
struct Open(tempfile::TempDir);

impl Open {
    fn new() -> Self {
        let dir = tempfile::tempdir_in("/tmp").expect("a directory");
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).expect("an open directory");
        for (name, from) in [("memtrace", Memtrace::path()), ("pages", PAGES.as_ref())] {
            fs::copy(from, dir.path().join(name)).expect("a copy");
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// memtrace of a user who is not root and has these capabilities.
    fn start(&self, capabilities: &str, arguments: &[&str]) -> Memtrace {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        if !capabilities.is_empty() {
            command.args(["--inh-caps", capabilities, "--ambient-caps", capabilities]);
        }
        Memtrace::start_command(command.arg(self.path("memtrace")).args(arguments))
    }

    fn run(&self, capabilities: &str, arguments: &[&str]) -> Ended {
        self.start(capabilities, arguments).end()
    }

    fn doctor(&self, capabilities: &str) -> Value {
        let ended = self.run(capabilities, &["doctor", "-o", "json"]);
        let doctor = ended.json().remove(0);
        let code = if doctor["ready"] == true { 0 } else { HOST };
        assert_eq!(ended.code(), Some(code), "{ended:?}");
        doctor
    }
}

/// The same words from `doctor` and from the verbs that need what is missing.
#[track_caller]
fn assert_refused(open: &Open, capabilities: &str, reason: &str) {
    let pid = std::process::id().to_string();
    for arguments in [["stat", "-p", &pid], ["trace", "-p", &pid], ["stat", "--", "/bin/true"]] {
        assert_says(&open.run(capabilities, &arguments), HOST, &format!("{reason}; {FIX}"));
    }
    let doctor = open.doctor(capabilities);
    assert_eq!(doctor["blockers"][0]["reason"], reason, "{doctor:#}");
    assert_eq!((&doctor["ready"], &doctor["fixes"]), (&json!(false), &json!([FIX])), "{doctor:#}");
    assert_eq!(doctor["probes"][0]["verdict"], "not_permitted", "{doctor:#}");
}

#[test]
fn a_user_without_any_right_is_told_what_is_missing() {
    let open = Open::new();
    assert_refused(&open, "", "this user lacks CAP_BPF and CAP_PERFMON");
    assert_refused(&open, "+bpf", "this user lacks CAP_PERFMON");
    assert_refused(&open, "+perfmon,+sys_ptrace", "this user lacks CAP_BPF");
}

/// The kernel shows root's tracefs to root alone, whatever else a user may do.
#[test]
fn bpf_and_perfmon_do_not_open_tracefs() {
    let open = Open::new();
    for capabilities in [BPF, BPF_AND_PTRACE] {
        assert_refused(&open, capabilities, "tracefs is not readable");
        let doctor = open.doctor(capabilities);
        for probe in doctor["probes"].as_array().expect("probes") {
            let is_tracepoint = probe["hook"].as_str().is_some_and(|hook| hook.starts_with("tracepoint "));
            assert_eq!(probe["verdict"], if is_tracepoint { "not_permitted" } else { "ok" }, "{probe}");
        }
    }
}

/// Processes of any user, to the page; only what is read out of their memory is not there.
#[test]
fn with_the_right_to_read_tracefs_the_ledger_is_exact() {
    let open = Open::new();
    for capabilities in [TRACE, ALL] {
        let doctor = open.doctor(capabilities);
        assert_json(&doctor, &json!({"ready": true, "fixes": [], "blockers": []}));
        let program = open.path("pages").display().to_string();
        let ended = open.run(capabilities, &["stat", "-o", "json", "--", &program, "run", WORK]);
        let summary = ended.summary();
        let expected = json!({
            "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 32 * PAGE, "refaulted_bytes": 8 * PAGE}},
            "exit": {"code": 0}, "untracked_bytes": 0,
        });
        assert_json(&summary.processes()[0], &expected);
        let mut roots = pages(&[]);
        let pid = roots.pid();
        let mut memtrace = open.start(capabilities, &["stat", "-o", "json", "-i", "50ms", "-p", &pid.to_string()]);
        memtrace.interval();
        roots.all(&WORK.split("; ").collect::<Vec<_>>());
        let summary = memtrace.interrupt().summary();
        assert_eq!(summary["account"]["lost"], 0, "{summary:#}");
        let expected = json!({
            "advise": {"dontneed": {"calls": 1, "unmapped_bytes": 32 * PAGE, "refaulted_bytes": 8 * PAGE}},
            "munmap": {"calls": 1, "unmapped_bytes": 40 * PAGE}, "untracked_bytes": 0,
        });
        assert_json(summary.process(pid), &expected);
    }
}

/// CAP_SYS_PTRACE opens the memory of other users' processes, CAP_DAC_READ_SEARCH the files it is read by.
#[test]
fn the_go_heap_of_others_takes_ptrace() {
    let open = Open::new();
    let program = profiled();
    let pid = program.pid().to_string();
    let refused = "not permitted: reading a process needs root, or CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
    for (capabilities, is_read) in [(TRACE, false), (ALL, true)] {
        let ended = open.run(capabilities, &["stat", "-o", "json", "-d", "100ms", "-p", &pid]);
        let summary = ended.summary();
        let process = summary.process(program.pid());
        assert_eq!(process["go"].is_object(), is_read, "{process:#}");
        assert_eq!(process["heap"].is_object(), is_read, "{process:#}");
        let said = "1 processes may not be looked into, which takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: no Go heap of theirs";
        let mut notes = summary["notes"].as_array().expect("notes").clone();
        // Nor may it write into cgroup.event_control, which is found out meanwhile.
        notes.retain(|note| !note.as_str().is_some_and(|note| note.starts_with("what cgroups tell is not all heard")));
        assert_eq!(notes, if is_read { Vec::new() } else { vec![json!(said)] }, "{summary:#}");
        for verb in ["goroutines", "heap"] {
            let ended = open.run(capabilities, &[verb, "-p", &pid]);
            if is_read {
                assert_eq!(ended.code(), Some(0), "{ended:?}");
            } else {
                assert_says(&ended, HOST, &format!("pid {pid}: {refused}"));
            }
        }
    }
    // Whose program it is is not to be told either: nobody of others is meant by it.
    let exe = built("1.26.6", "profiled").display().to_string();
    for target in [&["-a"][..], &["--exe", &exe]] {
        let summary = open.run(TRACE, &[&["stat", "-o", "json", "-d", "100ms"], target].concat()).summary();
        assert_eq!(summary["processes"], json!([]), "{summary:#}");
        let said = "may not be looked at, which takes CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH: left out";
        let mut notes = summary["notes"].as_array().expect("notes").iter().filter_map(Value::as_str);
        assert!(notes.any(|note| note.ends_with(said)), "{summary:#}");
    }
    // Of the looks, half of it is nothing.
    let ended = open.run("+sys_ptrace", &["goroutines", "-p", &pid]);
    assert_says(&ended, HOST, &format!("pid {pid}: {refused}"));
    for verb in ["goroutines", "heap", "explain"] {
        let ended = open.run("+sys_ptrace,+dac_read_search", &[verb, "-p", &pid]);
        assert_eq!(ended.code(), Some(0), "{ended:?}");
    }
}

#[test]
fn root_inside_a_user_namespace_is_told_that_it_is_not_enough() {
    let open = Open::new();
    let reason = "capabilities inside a user namespace do not count for BPF";
    let fix = "run as root of the host's first user namespace";
    let inside = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "unshare", "--user", "--map-root-user"]);
        Memtrace::start_command(command.arg(open.path("memtrace")).args(arguments)).end()
    };
    let pid = std::process::id().to_string();
    for arguments in [["stat", "-p", &pid], ["trace", "-p", &pid], ["stat", "--", "/bin/true"]] {
        assert_says(&inside(&arguments), HOST, &format!("{reason}; {fix}"));
    }
    let ended = inside(&["doctor", "-o", "json"]);
    assert_eq!(ended.code(), Some(HOST), "{ended:?}");
    let doctor = &ended.json()[0];
    assert_eq!((&doctor["ready"], &doctor["blockers"][0]["reason"]), (&json!(false), &json!(reason)), "{doctor:#}");
    // Not our own process, either: it is another namespace's.
    assert_eq!(inside(&["explain", "-p", &pid]).code(), Some(HOST));
    // Its own processes it may look at as everybody may.
    assert_eq!(inside(&["ps"]).code(), Some(0));
}
