//! A cgroup is removed while its processes are looked at.
use crate::{PAGES, pages};
use memtrace_tests::{Explained, MemoryCgroup, Memtrace, PAGE, Processes as _, Stops, assert_json};
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const LIMIT: u64 = 256 << 20;
const WORK: [&str; 3] = ["mmap 0p 64p", "write 0p 64p", "madvise 0p 32p dontneed"];

#[track_caller]
fn assert_work(process: &Value) {
    let expected = json!({"advise": {"dontneed": {"calls": 1, "unmapped_bytes": 32 * PAGE}}, "exit": {"code": 0}});
    assert_json(process, &expected);
}

#[test]
fn a_cgroup_that_is_removed_ends_nothing_and_one_made_anew_is_the_same() {
    let group = MemoryCgroup::new("removed", LIMIT);
    let path = group.path().display().to_string();
    let mut first = pages(&[]);
    group.add(first.pid());
    let mut memtrace = Memtrace::ready(&["-c", &path]);
    let first_pid = first.pid();
    first.all(&WORK);
    first.last("exit 0");
    drop(group);
    assert!(!std::path::Path::new(&path).exists());
    // Several looks at nothing.
    (0..3).for_each(|_| drop(memtrace.settle()));
    let again = MemoryCgroup::new("removed", LIMIT);
    assert_eq!(again.path().display().to_string(), path);
    let mut second = pages(&[]);
    again.add(second.pid());
    let second_pid = second.pid();
    while memtrace.settle().processes().iter().all(|process| process["pid"] != second_pid) {}
    second.all(&WORK);
    second.last("exit 0");
    // And one that is born there and gone before anyone could look.
    let born = format!("echo $$ > {path}/cgroup.procs; exec {PAGES} run '{}'", WORK.join("; "));
    let mut child = Command::new("/bin/sh").args(["-c", &born]).spawn().expect("sh");
    let third_pid = child.id();
    assert!(child.wait().expect("its end").success());
    let summary = memtrace.interrupt().summary();
    assert_eq!(summary["account"]["lost"], 0, "{summary:#}");
    for pid in [first_pid, second_pid, third_pid] {
        assert_work(summary.process(pid));
    }
    assert_eq!(summary.processes().len(), 3, "{summary:#}");
}

/// The account is the one or the other cgroup's, or unknown: never a mixture, never the end.
#[test]
fn a_process_whose_cgroups_come_and_go_is_explained() {
    let (pages, is_over) = (pages(&[]), AtomicBool::new(false));
    let pid = pages.pid();
    let home = MemoryCgroup::new("home", LIMIT);
    home.add(pid);
    let accounts = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let away = MemoryCgroup::new("away", 2 * LIMIT);
                away.add(pid);
                home.add(pid);
            }
        });
        let _stops = Stops(&is_over);
        (0..100).map(|_| Explained::of(pid).0["cgroup"].clone()).collect::<Vec<Value>>()
    });
    let of = |name: &str, limit: u64| {
        let is = |account: &&Value| {
            account["path"].as_str().is_some_and(|path| path.ends_with(name)) && account["limit_bytes"] == limit
        };
        accounts.iter().filter(is).count()
    };
    let (home, away) = (of("-home", LIMIT), of("-away", 2 * LIMIT));
    let unknown = accounts.iter().filter(|account| account.is_null()).count();
    assert_eq!(home + away + unknown, accounts.len(), "{accounts:#?}");
    assert!(home > 0 && home < accounts.len(), "the cgroups did not change: {accounts:#?}");
}
