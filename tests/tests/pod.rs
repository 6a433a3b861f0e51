//! memtrace in a pid namespace of its own, as in a pod with `shareProcessNamespace`: what it says of the pod's processes is
//! what it says of them from the host, and it knows of nobody else.
use memtrace_tests::{
    Child, Ended, MemoryCgroup, Memtrace, Processes as _, Serving, Truth, assert_json, descendants, dossiers,
    saved_dossiers, truth_binary, wait_until,
};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const LIMIT: u64 = 64 << 20;
/// Exact, whoever counts them.
const FIGURES: [&str; 9] =
    ["advise", "returned_bytes", "refaulted_bytes", "kept_bytes", "munmap", "mmap", "faults", "oom_killed", "exit"];

/// A shell as the first process, which says how its child ended, and a Go program.
struct Pod {
    container: Child,
    shell: u32,
    /// As the host calls it.
    program: u32,
}

impl Pod {
    #[track_caller]
    fn start() -> Self {
        let script = format!("exec 3<&0; GOGC=off {} <&3; echo ended $?; read -r _", truth_binary().display());
        let mut command = Command::new("unshare");
        command.args(["--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c", &script]);
        let mut container = Child::start(&mut command);
        assert!(container.line().is_some_and(|line| line.contains("ready")), "the program is there");
        let [shell, program] = descendants(container.pid())[..] else { panic!("a shell and its child") };
        Self { container, shell, program }
    }

    /// A command among the pod's processes.
    fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--pid", "--mount", "--target", &self.shell.to_string(), "--"]);
        command
    }

    fn memtrace(&self, arguments: &[&str]) -> Command {
        let mut command = self.command();
        command.arg(Memtrace::path()).args(arguments);
        command
    }

    #[track_caller]
    fn run(&mut self, command: &str) {
        self.container.say(command);
        assert!(self.container.line().is_some_and(|answer| !answer.contains("error")), "{command}");
    }

    /// Ends the program; the first process takes all others with it when it ends.
    #[track_caller]
    fn end_program(&mut self) {
        self.container.say("exit 0");
        assert_eq!(self.container.line().as_deref(), Some("ended 0"));
    }

    #[track_caller]
    fn end(mut self) {
        self.container.say("over");
        self.container.end();
    }
}

/// What a process is called in each of its pid namespaces, from the host inwards (proc_pid_status(5)).
#[track_caller]
fn numbers(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("NSpid");
    line.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// What the pod calls it.
#[track_caller]
fn own_pid(pid: u32) -> u32 {
    numbers(pid)[1]
}

/// Ends memtrace itself: nsenter waits for it and passes no signal on.
#[track_caller]
fn terminated(memtrace: Memtrace) -> Ended {
    let [inner] = descendants(memtrace.pid())[..] else { panic!("nsenter has one child") };
    // SAFETY: its parent has not waited for it, so the id is still its own.
    assert_eq!(unsafe { libc::kill(inner as i32, libc::SIGTERM) }, 0);
    let ended = memtrace.end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    ended
}

#[test]
fn what_is_told_inside_is_what_is_told_outside() {
    let mut pod = Pod::start();
    let (program, own) = (pod.program, own_pid(pod.program));
    assert_ne!(own, program);
    let mut outside = Memtrace::attach(pod.program, &[]);
    let mut inside =
        Memtrace::start_command(&mut pod.memtrace(&["stat", "-o", "json", "-i", "50ms", "-p", &own.to_string()]));
    inside.interval();
    ["alloc 40", "free", "freeosmemory", "alloc 24", "map 3", "gc"].iter().for_each(|command| pod.run(command));
    outside.settle();
    inside.settle();
    pod.end_program();
    let (outside, inside) = (outside.end(), inside.end());
    pod.end();
    let told = |ended: &Ended, pid: u32| {
        let mut process = ended.summary().process(pid).clone();
        // Each measures it for itself.
        for advice in process["advise"].as_object_mut().expect("an object").values_mut() {
            advice["latency_ns"] = Value::Null;
        }
        FIGURES.map(|figure| process[figure].clone())
    };
    let inner = told(&inside, own);
    assert_eq!(told(&outside, program), inner, "{FIGURES:?}");
    assert!(inner[1].as_u64() >= Some(32 << 20) && inner[2].as_u64() >= Some(8 << 20), "{inner:?}");
    assert!(inside.stderr.contains("own PID namespace: the processes of this pod alone"), "{}", inside.stderr);
}

#[test]
fn the_agent_knows_the_pod_and_who_is_within_it_and_nobody_else() {
    let mut neighbour = Truth::start(&truth_binary(), &[]);
    let mut pod = Pod::start();
    let own = own_pid(pod.program);
    let agent =
        Serving::start_command(&mut pod.memtrace(&["agent", "-o", "json", "--listen", "127.0.0.1:0", "--no-save"]));
    agent.until_ready();
    let known = || -> Vec<(u64, u64)> {
        let all = agent.json("/api/v1/processes");
        let figure =
            |process: &Value, name: &str| process[name].as_u64().unwrap_or_else(|| panic!("{name}: {process:#}"));
        all.processes().iter().map(|process| (figure(process, "pid"), figure(process, "returned_bytes"))).collect()
    };
    assert_eq!(known(), [(own.into(), 0)]);
    // Started later: beside it, and in a pid namespace within that of the pod.
    let start = |command: &mut Command| {
        let mut program = Child::start(command);
        assert!(program.line().is_some_and(|line| line.contains("ready")), "it is there");
        let pid = *descendants(program.pid()).last().expect("nsenter forks");
        (program, pid)
    };
    let (beside, beside_pid) = start(pod.command().arg(truth_binary()));
    let (within, within_pid) =
        start(pod.command().args(["unshare", "--pid", "--fork", "--kill-child"]).arg(truth_binary()));
    neighbour.all(&["alloc 40", "free", "freeosmemory"]);
    ["alloc 40", "free", "freeosmemory"].iter().for_each(|command| pod.run(command));
    let pods = wait_until("three programs", || Some(known()).filter(|known| known.len() == 3));
    let mut pids: Vec<u64> = pods.iter().map(|(pid, _)| *pid).collect();
    pids.sort_unstable();
    let mut expected = [own, own_pid(beside_pid), own_pid(within_pid)].map(u64::from);
    expected.sort_unstable();
    assert_eq!(pids, expected);
    let returned = |(pid, returned): (u64, u64)| pid == u64::from(own) && returned >= 32 << 20;
    wait_until("what it returned", || known().into_iter().any(returned).then_some(()));
    assert!(known().into_iter().all(|(pid, bytes)| returned((pid, bytes)) || bytes == 0), "{:?}", known());
    drop(beside);
    drop(within);
    wait_until("one program", || (known().len() == 1).then_some(()));
    terminated(agent.memtrace);
    pod.end_program();
    pod.end();
}

/// As runtimes start containers: in a cgroup of its own, which it takes for the root of all.
#[test]
fn in_a_cgroup_namespace_of_its_own_it_reads_the_accounts_of_the_pods_cgroups() {
    let (app, sidecar) = (MemoryCgroup::new("app", LIMIT), MemoryCgroup::new("sidecar", 8 * LIMIT));
    let mut pod = Pod::start();
    let own = own_pid(pod.program).to_string();
    app.add(pod.program);
    pod.run("alloc 24");
    let memtrace = |arguments: &[&str]| {
        let mut command = pod.command();
        let procs = sidecar.path().join("cgroup.procs");
        let contained = format!("echo $$ > {} && exec unshare --cgroup \"$0\" \"$@\"", procs.display());
        command.args(["sh", "-c", &contained]).arg(Memtrace::path()).args(arguments);
        command
    };
    let explained = Memtrace::start_command(&mut memtrace(&["explain", "-o", "json", "-p", &own])).end();
    assert_eq!(explained.code(), Some(0), "{}", explained.stderr);
    let account = &explained.json()[0]["cgroup"];
    assert_eq!((&account["limit_bytes"], &account["path"]), (&json!(LIMIT), &json!(app.path())), "{account:#}");
    assert!(account["charge_bytes"].as_u64() >= Some(24 << 20), "{account:#}");
    let agent = Serving::start_command(&mut memtrace(&["agent", "-o", "json", "--listen", "127.0.0.1:0", "--no-save"]));
    agent.until_ready();
    let limit = format!(" {LIMIT}");
    wait_until("the limit of the program's cgroup", || {
        let metrics = agent.ok("/metrics");
        let mut limits = metrics.lines().filter(|line| line.starts_with("memtrace_cgroup_limit_bytes{"));
        limits.next().map(|line| assert!(line.contains(&format!("pid=\"{own}\"")) && line.ends_with(&limit), "{line}"))
    });
    terminated(agent.memtrace);
    pod.end_program();
    pod.end();
}

#[test]
fn an_oom_kill_in_the_pod_has_its_dossier() {
    let (directory, elsewhere) = (tempfile::tempdir().expect("a directory"), MemoryCgroup::new("neighbour", LIMIT));
    let (group, mut pod) = (MemoryCgroup::new("pod", LIMIT), Pod::start());
    let own = own_pid(pod.program);
    [pod.shell, pod.program].iter().for_each(|pid| group.add(*pid));
    let path = directory.path().to_str().expect("UTF-8");
    let mut memtrace =
        Memtrace::start_command(&mut pod.memtrace(&["watch-oom", "-o", "json", "--dir", path, "-p", &own.to_string()]));
    assert!(memtrace.text_line().contains("start"));
    // Another's death is not told: what it is called on the host is nobody in here.
    let neighbour = Truth::start(&truth_binary(), &[]);
    elsewhere.add(neighbour.pid());
    assert!(!neighbour.last("fill").success());
    pod.container.say("fill");
    assert_eq!(pod.container.line().as_deref(), Some("ended 137"));
    let saved = wait_until("a dossier", || saved_dossiers(directory.path()).pop());
    assert!(saved.to_string_lossy().contains(&format!("-{own}-")), "{saved:?}");
    let ended = terminated(memtrace);
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    let expected = json!({"trigger": "oom", "cause": "cgroup_oom", "victim": {"pid": own, "comm": "truth"}});
    assert_json(dossier, &expected);
    pod.end();
}

#[test]
fn with_the_proc_of_another_namespace_it_says_what_to_do() {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(Memtrace::path()).args(["stat", "-a", "-d", "100ms"]);
    let ended = Memtrace::start_command(&mut command).end();
    assert_eq!(ended.code(), Some(3), "{}", ended.stderr);
    let words = "/proc is that of another PID namespace; mount -t proc proc /proc";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}
