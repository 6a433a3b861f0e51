//! The real agent with exactly the rights that are shipped, where it can write nothing but its own directory; and what is
//! lost without each. The table is in docs/operations.md.
use crate::systemd;
use memtrace_tests::{Child, Memtrace, Serving, open_files_limits, truth_binary, wait_until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const NOBODY: &str = "65534";
const HOST: i32 = 3;
/// As the chart adds them.
const SHIPPED: [&str; 4] = ["bpf", "dac_read_search", "perfmon", "sys_ptrace"];
const IN_CONTAINERS: &str = "give the container CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
const FATAL_UNHEARD: &str =
    "memtrace: go_fatal: `perf_event_open` failed: `perf_event_open` failed: Permission denied (os error 13)";

/// One Go program of nobody's and one of root's.
struct Programs {
    _directory: TempDir,
    of_nobody: Child,
    of_root: Child,
    binary: PathBuf,
}

impl Programs {
    fn start() -> Self {
        let directory = tempfile::tempdir_in("/tmp").expect("a directory");
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("an open directory");
        let binary = directory.path().join("program");
        fs::copy(truth_binary(), &binary).expect("a copy");
        let mut as_nobody = Command::new("setpriv");
        as_nobody.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(&binary);
        let of_nobody = Child::start(&mut as_nobody);
        let of_root = Child::start(&mut Command::new(&binary));
        // The one that setpriv has become.
        let exe = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
        wait_until("the program", || (exe(of_nobody.pid()).as_deref() == Some(&*binary)).then_some(()));
        Self { _directory: directory, of_nobody, of_root, binary }
    }

    fn pids(&self) -> [u32; 2] {
        [self.of_nobody.pid(), self.of_root.pid()]
    }
}

/// memtrace as root with these capabilities and no others, and no way to more; all files are read-only but those of `data`.
fn confined(capabilities: &[&str], data: &Path, arguments: &[&str]) -> Command {
    let bounding: String = capabilities.iter().map(|name| format!(",+{name}")).collect();
    let script = r#"
        set -e
        data=$1; capabilities=$2; shift 2
        mount --bind "$data" "$data"
        for place in / /sys/kernel/tracing /sys/fs/cgroup; do
            mount --bind "$place" "$place" 2>/dev/null || true
            mount -o remount,bind,ro "$place"
        done
        exec setpriv --no-new-privs --inh-caps=-all --bounding-set "-all$capabilities" "$@"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "bash", "-c", script, "confined"]);
    command.arg(data).arg(bounding).arg(Memtrace::path()).args(arguments);
    command
}

struct Agent {
    serving: Serving,
    data: TempDir,
}

impl Agent {
    #[track_caller]
    fn start(capabilities: &[&str], programs: &Programs) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let pids = programs.pids().map(|pid| pid.to_string()).join(",");
        let directory = data.path().join("oom").display().to_string();
        let arguments = ["agent", "-o", "json", "--listen", "127.0.0.1:0", "--dir", &directory, "-p", &pids];
        Self::speaking(&mut confined(capabilities, data.path(), &arguments), data)
    }

    /// From its first line on.
    #[track_caller]
    fn speaking(command: &mut Command, data: TempDir) -> Self {
        Self { serving: Serving::start_command(command), data }
    }

    /// Once everybody has been looked at: whether each program has this series.
    #[track_caller]
    fn has(&self, name: &str, programs: &Programs) -> [bool; 2] {
        self.serving.until_ready();
        let metrics = self.serving.ok("/metrics");
        let is =
            |pid: u32, line: &str| line.starts_with(&format!("{name}{{")) && line.contains(&format!("pid=\"{pid}\""));
        programs.pids().map(|pid| metrics.lines().any(|line| is(pid, line)))
    }

    /// Ends it; what it said on stderr.
    #[track_caller]
    fn end(self) -> String {
        let saved = fs::read_dir(self.data.path().join("oom")).expect("its directory").count();
        let ended = self.serving.memtrace.signalled(libc::SIGTERM);
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(saved > 0, "nothing was saved");
        ended.stderr
    }
}

fn without<'a>(lost: &str) -> Vec<&'a str> {
    SHIPPED.into_iter().filter(|name| *name != lost).collect()
}

#[test]
fn the_shipped_rights_are_enough_and_each_is_needed() {
    let programs = Programs::start();
    let (rss, heap) = ("memtrace_process_resident_memory_bytes", "memtrace_go_heap_inuse_bytes");
    let agent = Agent::start(&SHIPPED, &programs);
    assert_eq!((agent.has(rss, &programs), agent.has(heap, &programs)), ([true; 2], [true; 2]));
    let metrics = agent.serving.ok("/metrics");
    let exe = format!("exe=\"{}\"", programs.binary.file_name().expect("a name").display());
    assert!(metrics.contains(&exe), "{metrics}");
    // The fatal errors of Go's runtime are what takes more.
    assert!(agent.end().contains(FATAL_UNHEARD));

    for (lost, says) in [("bpf", "root here lacks CAP_BPF"), ("perfmon", "root here lacks CAP_PERFMON")] {
        let data = tempfile::tempdir().expect("a directory");
        let mut command = confined(&without(lost), data.path(), &["agent", "--no-save", "--listen", "127.0.0.1:0"]);
        let ended = Memtrace::start_command(&mut command).end();
        assert_eq!((ended.code(), ended.stderr), (Some(HOST), format!("memtrace: {says}; {IN_CONTAINERS}\n")));
    }
    // Root owns its own programs' files; those of others take the right to read them.
    let agent = Agent::start(&without("dac_read_search"), &programs);
    assert_eq!((agent.has(rss, &programs), agent.has(heap, &programs)), ([true; 2], [false, true]));
    agent.end();
    // A process with fewer rights than we dropped may be looked into: it has none; who it is, not.
    let agent = Agent::start(&without("sys_ptrace"), &programs);
    assert_eq!((agent.has(rss, &programs), agent.has(heap, &programs)), ([true; 2], [false; 2]));
    assert!(!agent.serving.ok("/metrics").contains(&exe));
    agent.end();
}

/// Services and containers start with 1024 open files, of which a few programs with many threads take all.
#[test]
fn a_low_limit_of_open_files_is_raised_to_what_is_allowed() {
    let programs = Programs::start();
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:4096", "--"]).arg(Memtrace::path());
    command.args(["agent", "-o", "json", "--no-save", "--listen", "127.0.0.1:0", "-p"]);
    let pids = programs.pids().map(|pid| pid.to_string()).join(",");
    let agent = Agent::speaking(command.arg(pids), tempfile::tempdir().expect("a directory"));
    assert_eq!(agent.has("memtrace_go_heap_inuse_bytes", &programs), [true; 2]);
    assert_eq!(open_files_limits(agent.serving.memtrace.pid()), [4096, 4096]);
    let own = agent.serving.ok("/metrics");
    let open = own.lines().find_map(|line| line.strip_prefix("memtrace_self_open_fds ")).expect("a number");
    assert!(open.parse::<f64>().expect("a number") > 64.0, "{open}: 64 would have been enough");
    assert_eq!(agent.serving.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}

#[test]
fn fatal_errors_of_go_take_sys_admin() {
    let programs = Programs::start();
    let agent = Agent::start(&[&SHIPPED[..], &["sys_admin"]].concat(), &programs);
    agent.serving.until_ready();
    let said = agent.end();
    assert!(!said.contains("go_fatal"), "{said}");
}

#[test]
fn the_rights_of_the_unit_are_enough_too() {
    let programs = Programs::start();
    let held = fs::read_to_string("/proc/self/status").expect("status");
    let held = held.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("a set").trim().to_owned();
    let held = u64::from_str_radix(&held, 16).expect("hexadecimal");
    // What this machine does not have itself it cannot give: CAP_SYS_RESOURCE is number 24.
    let capabilities = systemd::capabilities();
    let given: Vec<&str> =
        capabilities.iter().map(String::as_str).filter(|name| *name != "sys_resource" || held & 1 << 24 != 0).collect();
    let agent = Agent::start(&given, &programs);
    assert_eq!(agent.has("memtrace_go_heap_inuse_bytes", &programs), [true; 2]);
    let said = agent.end();
    assert!(!said.contains("/dev/kmsg"), "{said}");
}

/// As `kubectl debug` starts it: pids of the pod's own, and BPF only where it is given.
#[test]
fn from_within_a_pod_looks_work_and_with_bpf_the_rest() {
    let programs = Programs::start();
    let script = r#"
        program=$1; memtrace=$2
        setpriv --reuid 65534 --regid 65534 --clear-groups "$program" < <(sleep 600) > /dev/null &
        until [ "$(readlink /proc/$!/exe)" = "$program" ]; do sleep 0.01; done
        look() { setpriv --no-new-privs --inh-caps=-all --bounding-set "-all,+sys_ptrace,+dac_read_search$1" "$memtrace" "${@:2}"; }
        for verb in explain goroutines cgroup; do look "" $verb -p $! > /dev/null; echo "$verb $?"; done
        look "" ps -o json | grep -c go_version; echo "ps $?"
        look ",+bpf,+perfmon" stat -d 100ms -p $! > /dev/null; echo "stat $?"
        look "" stat -d 100ms -p $!; echo "refused $?"
        kill %1
    "#;
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script, "pod"]);
    let text = crate::said(command.arg(&programs.binary).arg(Memtrace::path()), "").1;
    for line in ["explain 0", "goroutines 0", "cgroup 0", "ps 0", "stat 0", "refused 3"] {
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    }
    assert!(text.contains("root here lacks CAP_BPF and CAP_PERFMON"), "{text}");
}
