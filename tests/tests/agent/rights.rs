//! What the agent keeps of its rights, and what it tells who started it.
use crate::value;
use memtrace_tests::{Memtrace, Serving, quiet_truth, truth_binary, wait_until};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE, CAP_SYS_RESOURCE, CAP_PERFMON, CAP_BPF (capability.h); CAP_SYS_ADMIN where functions
/// are not attached to without it.
const MAY_KEEP: u64 = 1 << 2 | 1 << 19 | 1 << 24 | 1 << 38 | 1 << 39 | 1 << 21;

/// Of one thread.
fn capabilities(status: &str, set: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(":\t")).expect("a set");
    u64::from_str_radix(line, 16).expect("hexadecimal")
}

#[test]
fn every_thread_keeps_only_what_is_needed_and_that_suffices_for_who_comes_later() {
    let truth = truth_binary().canonicalize().expect("a path");
    let directory = tempfile::tempdir().expect("a directory");
    let [config, dossiers, recording] = ["memtrace.toml", "dossiers", "recording"].map(|of| directory.path().join(of));
    fs::write(&config, format!("[recording]\nenabled = true\ndirectory = {recording:?}\n")).expect("written");
    let [config, dossiers, truth] = [&config, &dossiers, &truth].map(|path| path.to_str().expect("UTF-8"));
    // With every thread that there can be.
    let agent = Serving::start(&["--config", config, "--dir", dossiers, "--exe", truth]);
    agent.until_ready();
    let threads = fs::read_dir(format!("/proc/{}/task", agent.memtrace.pid())).expect("threads");
    let statuses: Vec<String> =
        threads.map(|thread| fs::read_to_string(thread.expect("one").path().join("status")).expect("there")).collect();
    let own = fs::read_to_string("/proc/self/status").expect("there");
    let mut sets = BTreeSet::new();
    for status in &statuses {
        let [effective, permitted, inheritable, ambient, bounding] =
            ["CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"].map(|set| capabilities(status, set));
        assert_eq!((permitted & !MAY_KEEP, inheritable, ambient), (0, 0, 0), "{status}");
        assert_eq!(effective, permitted, "{status}");
        assert_eq!(bounding & !MAY_KEEP, 0, "{status}");
        sets.insert(permitted);
    }
    assert_eq!(sets.len(), 1, "{sets:x?}");
    let needed = MAY_KEEP & !(1 << 21) & capabilities(&own, "CapPrm");
    assert_eq!(sets.first().map(|set| set & needed), Some(needed), "{sets:x?}");
    // Found, read and heard without the rest.
    let mut late = quiet_truth();
    late.all(&["alloc 8"]);
    let pid = format!("pid=\"{}\"", late.pid());
    let (said, ()) = late.compare(|| ());
    let heap = said["heap_inuse_bytes"].as_f64();
    wait_until("its heap", || {
        (value(&agent.ok("/metrics"), "memtrace_go_heap_inuse_bytes", &pid) == heap).then_some(())
    });
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert!(!ended.stderr.contains("were not heard"), "{}", ended.stderr);
}

#[test]
fn a_command_has_all_rights_that_memtrace_was_started_with() {
    let directory = tempfile::tempdir().expect("a directory");
    let status = directory.path().join("status");
    let to = status.to_str().expect("UTF-8");
    let ended = Memtrace::run(&["agent", "--no-save", "--listen", "127.0.0.1:0", "--", "cp", "/proc/self/status", to]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let [of_command, own] =
        [&*status, Path::new("/proc/self/status")].map(|path| fs::read_to_string(path).expect("there"));
    for set in ["CapEff", "CapPrm", "CapBnd", "CapInh"] {
        assert_eq!(capabilities(&of_command, set), capabilities(&own, set), "{set}");
    }
}

#[test]
fn systemd_is_told_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let heard = || {
        let mut bytes = [0; 256];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    let truth = quiet_truth();
    let mut command = Command::new("sh");
    // As systemd says for whom it is meant.
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh"]).arg(Memtrace::path());
    command.args(["agent", "--no-save", "--listen", "127.0.0.1:0", "-p", &truth.pid().to_string()]);
    let memtrace = Memtrace::start_command(command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000"));
    assert_eq!(heard(), "READY=1");
    assert_eq!([heard(), heard()], ["WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(memtrace.signalled(libc::SIGTERM).code(), Some(0));
    let last = std::iter::from_fn(|| Some(heard())).find(|told| told != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
}
