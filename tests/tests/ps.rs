//! `memtrace ps`: every Go process of the host, whoever it belongs to and wherever it lives.
use memtrace_tests::matrix::{built, host, start};
use memtrace_tests::{Child, MemoryCgroup, Memtrace, assert_json, rss_bytes, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const MIB: u64 = 1 << 20;

fn program(variant: &str) -> PathBuf {
    built("1.26.6", variant).canonicalize().expect("a program")
}

#[track_caller]
fn ps() -> Value {
    let ended = Memtrace::run(&["ps", "-o", "json"]);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let list = ended.json().pop().expect("an object");
    assert_eq!(list["schema"], "memtrace.ps/1");
    list
}

#[track_caller]
fn row(list: &Value, pid: u32) -> &Value {
    let rows = list["processes"].as_array().expect("processes");
    rows.iter().find(|row| row["pid"] == pid).unwrap_or_else(|| panic!("no {pid} in {list:#}"))
}

/// The one process that a process has started.
fn child_of(pid: u32) -> u32 {
    wait_until("a child", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}

#[test]
fn each_build_is_read_in_its_own_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let no_dwarf = dir.path().join("no-dwarf");
    let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&no_dwarf).arg(program("plain")).status();
    assert!(strip.expect("strip runs").success());
    let builds = [
        (program("plain"), "dwarf", json!({"stripped": false, "pie": false, "cgo": false})),
        (no_dwarf, "table", json!({"stripped": false, "pie": false, "cgo": false})),
        (program("stripped"), "vote", json!({"stripped": true, "pie": false, "cgo": false})),
        (program("pie"), "vote", json!({"stripped": true, "pie": true, "cgo": false})),
        (program("cgo"), "vote", json!({"stripped": true, "pie": false, "cgo": true})),
    ];
    let running: Vec<Child> = builds.iter().map(|(path, ..)| start(&mut Command::new(path))).collect();
    let library = start(Command::new(host()).arg(program("shared")));
    let list = ps();
    for ((path, read_by, build), child) in builds.iter().zip(&running) {
        let exe = path.to_str().expect("UTF-8");
        let expected = json!({"exe": exe, "go_version": "go1.26.6", "read_by": read_by, "refused": null, "build": build,
            "gogc_percent": 100, "gomemlimit_bytes": null, "rss_bytes": rss_bytes(child.pid())});
        assert_json(row(&list, child.pid()), &expected);
        assert!(row(&list, child.pid())["heap_inuse_bytes"].as_u64() > Some(0));
    }
    assert_json(row(&list, library.pid()), &json!({"go_version": "go1.26.6", "read_by": "vote", "refused": null}));
}

#[test]
fn settings_and_limits_are_there() {
    let group = MemoryCgroup::new("ps", 200 * MIB);
    let mut command = Command::new("sh");
    command.args(["-c", "GOGC=50 GOMEMLIMIT=64MiB exec \"$0\""]).arg(program("stripped"));
    let child = start(&mut command);
    group.add(child.pid());
    let expected = json!({"gogc_percent": 50, "gomemlimit_bytes": 64 * MIB, "limit_bytes": 200 * MIB,
        "cgroup_path": group.path().to_str()});
    assert_json(row(&ps(), child.pid()), &expected);
}

#[test]
fn other_users_and_other_namespaces_are_seen() {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
    let dir = tempfile::tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("readable by all");
    let copy = dir.path().join("program");
    fs::copy(program("stripped"), &copy).expect("a copy");
    let nobody = start(setpriv.arg(&copy));
    // Its executable is in a file system that only it sees, and its pid is 1 there.
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"]);
    unshare.arg("mount -t tmpfs none /mnt && cp \"$0\" /mnt/inside && exec /mnt/inside").arg(program("pie"));
    let outside = start(&mut unshare);
    fs::remove_file(&copy).expect("the copy is there");
    let list = ps();
    let inside = child_of(outside.pid());
    assert_json(row(&list, inside), &json!({"comm": "inside", "exe": "/mnt/inside", "read_by": "vote"}));
    let exe = format!("{} (deleted)", copy.display());
    assert_json(row(&list, nobody.pid()), &json!({"exe": exe, "read_by": "vote", "refused": null}));
}

#[test]
fn an_unknown_release_is_refused_and_says_why() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("future");
    let mut bytes = fs::read(program("stripped")).expect("the program");
    let places: Vec<usize> = (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"go1.26.6")).collect();
    for at in &places {
        bytes[*at..*at + 8].copy_from_slice(b"go1.99.6");
    }
    assert!(!places.is_empty());
    fs::write(&path, bytes).expect("a copy");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let child = start(&mut Command::new(&path));
    let list = ps();
    let expected = json!({"go_version": "go1.99.6", "read_by": null, "refused": "the layout of Go 1.99 is unknown",
        "heap_inuse_bytes": null, "retained_idle_bytes": null, "gomemlimit_bytes": null, "gogc_percent": null});
    assert_json(row(&list, child.pid()), &expected);
    let text = Memtrace::run(&["ps"]);
    assert!(text.lines.iter().any(|line| line.trim() == "the layout of Go 1.99 is unknown"), "{:#?}", text.lines);
}
