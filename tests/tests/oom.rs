//! Dossiers: who died, why, and what the last minutes were like.
use memtrace_tests::{
    Child, LIMIT, MIB, MemoryCgroup, Memtrace, Pages, Truth, assert_json, column, descendants, dossiers,
    go_victim_is_told, process_state, quiet_truth, saved_dossiers, truth_binary, wait_until,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

const KILLS: usize = 20;

#[test]
fn a_go_program_killed_at_its_limit_is_told_with_its_last_state() {
    let directory = tempfile::tempdir().expect("a directory");
    let dossier = &go_victim_is_told(directory.path());
    let pid = dossier["victim"]["pid"].as_u64().expect("a pid");
    assert!(dossier["kernel"]["anon_rss_bytes"].is_u64(), "{}", dossier["kernel"]);
    // What is saved is what was printed; it is listed, and shown as it was.
    let id = dossier["id"].as_str().expect("an id");
    let directory = directory.path().to_str().expect("UTF-8");
    let listed = Memtrace::run(&["oom", "--dir", directory]);
    assert!(listed.lines.len() == 1 && listed.lines[0].ends_with(id), "{:?}", listed.lines);
    assert_eq!(&Memtrace::json(&["oom", "show", &id[..20], "--dir", directory]), dossier);
    let markdown = Memtrace::run(&["oom", "show", id, "-o", "markdown", "--dir", directory]);
    let title = format!("# {pid}/truth  killed by the OOM killer: its memory cgroup was at the limit");
    assert_eq!(markdown.lines[0], title);
    let missing = Memtrace::run(&["oom", "show", "1970", "--dir", directory]);
    assert_eq!((missing.code(), missing.stderr.lines().count()), (Some(4), 1), "{}", missing.stderr);
}

#[test]
fn twenty_kills_in_a_row_make_twenty_dossiers() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut victims: Vec<(MemoryCgroup, Pages)> = Vec::new();
    for n in 0..KILLS {
        let (group, pages) =
            (MemoryCgroup::new(&format!("dossier-{n}"), LIMIT / 4), Pages::start(env!("CARGO_BIN_EXE_pages"), &[]));
        group.add(pages.pid());
        victims.push((group, pages));
    }
    let pids: BTreeSet<u64> = victims.iter().map(|(_, pages)| pages.pid().into()).collect();
    let list: Vec<String> = pids.iter().map(u64::to_string).collect();
    let memtrace = Memtrace::watching(directory.path(), &["-p", &list.join(",")]);
    for (_, mut pages) in victims.drain(..) {
        pages.all(&["mmap 0p 16384p", "madvise 0p 16384p nohugepage"]);
        assert_eq!(pages.last("write 0p 16384p").signal(), Some(libc::SIGKILL));
    }
    let ended = memtrace.end();
    let all = dossiers(&ended);
    let told: BTreeSet<u64> = all.iter().filter_map(|dossier| dossier["victim"]["pid"].as_u64()).collect();
    assert_eq!((all.len(), &told), (KILLS, &pids), "{}", ended.stderr);
    assert!(all.iter().all(|dossier| dossier["cause"] == "cgroup_oom" && dossier["victim"]["go_version"].is_null()));
    assert_eq!(saved_dossiers(directory.path()).len(), KILLS);
}

#[test]
fn a_kill_from_outside_and_a_failure_are_told_and_a_clean_end_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let [killed, failed, clean] = [(); 3].map(|()| Truth::start(&truth_binary(), &[]));
    let pids = [&killed, &failed, &clean].map(|truth| truth.pid().to_string());
    let memtrace = Memtrace::watching(directory.path(), &["-p", &pids.join(",")]);
    assert_eq!(clean.last("exit 0").code(), Some(0));
    assert_eq!(failed.last("exit 3").code(), Some(3));
    assert_eq!(killed.kill().signal(), Some(libc::SIGKILL));
    let all = dossiers(&memtrace.end());
    let told: Vec<_> = all
        .iter()
        .map(|of| (of["victim"]["pid"].to_string(), of["trigger"].as_str(), of["victim"]["exit_code"].as_u64()))
        .collect();
    let expected = [(pids[1].clone(), Some("exit"), Some(3)), (pids[0].clone(), Some("kill"), None)];
    assert_eq!(told, expected);
    assert_eq!(all[1]["victim"]["killer_pid"], std::process::id());
}

#[test]
fn what_cannot_be_saved_is_printed_and_said() {
    let truth = Truth::start(&truth_binary(), &[]);
    let pid = truth.pid().to_string();
    let memtrace = Memtrace::watching(Path::new("/proc/no-such-directory"), &["-p", &pid]);
    assert_eq!(truth.last("exit 1").code(), Some(1));
    let ended = memtrace.end();
    assert_eq!(dossiers(&ended).len(), 1);
    assert_eq!(ended.stderr.matches("cannot save dossier").count(), 1, "{}", ended.stderr);
}

#[test]
fn one_that_lives_has_a_dossier_when_asked_for_and_when_little_is_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let group = MemoryCgroup::new("living", LIMIT);
    let mut truth = quiet_truth();
    let pid = truth.pid();
    group.add(pid);
    truth.run("alloc 8");
    let arguments = ["--trigger", "headroom,command", "--headroom-percent", "10", "-p", &pid.to_string()];
    let mut memtrace = Memtrace::watching(directory.path(), &arguments);
    let next = |memtrace: &mut Memtrace, trigger: &str| {
        let dossier: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
        let expected = json!({
            "kind": "dossier", "trigger": trigger, "cause": "headroom",
            "victim": {"pid": pid, "exit_code": null, "exit_signal": null, "killed_by": null},
        });
        assert_json(&dossier, &expected);
        dossier
    };
    memtrace.signal(libc::SIGUSR1);
    let asked = next(&mut memtrace, "command");
    assert!(column(&asked, "heap_inuse_bytes").last() > Some(&(8 * MIB)), "{asked:#}");
    wait_until("a tenth left", || {
        truth.run("alloc 1");
        (group.usage_bytes() > LIMIT / 100 * 91).then_some(())
    });
    let little = next(&mut memtrace, "headroom");
    let (charge, limit) = (column(&little, "cgroup_charge_bytes"), column(&little, "cgroup_limit_bytes"));
    assert!(charge.last() > Some(&(LIMIT / 100 * 90)) && limit.last() == Some(&LIMIT), "{little:#}");
    assert_eq!(little["verdict"]["pattern"].as_str().map(str::is_empty), Some(false));
    let ended = memtrace.interrupt();
    assert_eq!((ended.code(), dossiers(&ended).len()), (Some(0), 2), "{}", ended.stderr);
}

#[test]
fn a_child_that_is_killed_while_the_first_process_of_its_container_lives_is_told_and_that_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let group = MemoryCgroup::new("container", LIMIT);
    // The shell is the first process of a PID namespace of its own, and says how its child ended.
    let script = format!("exec 3<&0; {} <&3; echo ended $?; read -r _", truth_binary().display());
    let mut command = Command::new("unshare");
    let mut container = Child::start(command.args(["--pid", "--fork", "--kill-child", "sh", "-c", &script]));
    assert!(container.line().is_some_and(|line| line.contains("ready")), "the child is there");
    let tree = descendants(container.pid());
    let [shell, child] = tree[..] else { panic!("a shell and its child: {tree:?}") };
    tree.iter().for_each(|pid| group.add(*pid));
    let memtrace = Memtrace::watching(directory.path(), &["-c", group.path().to_str().expect("UTF-8")]);
    container.say("fill");
    assert_eq!(container.line().as_deref(), Some("ended 137"));
    assert!(process_state(shell).is_some_and(|state| state != 'Z'), "the first process lives");
    let saved = wait_until("a dossier", || saved_dossiers(directory.path()).pop());
    assert!(saved.to_string_lossy().contains(&format!("-{child}-")), "{saved:?}");
    let ended = memtrace.interrupt();
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    let expected = json!({"trigger": "oom", "cause": "cgroup_oom", "victim": {"pid": child, "comm": "truth"}});
    assert_json(dossier, &expected);
    assert_eq!(column(dossier, "cgroup_processes").last(), Some(&2), "{dossier:#}");
    container.say("over");
    container.end();
}
