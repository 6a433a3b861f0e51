//! `memtrace cgroup` against cgroups that are charged for known things.
use memtrace_tests::{Charged, Child, MemoryCgroup, Memtrace, Truth, assert_json, truth_binary};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

const MIB: u64 = 1 << 20;
const CACHE: &str = env!("CARGO_TARGET_TMPDIR");
const TMPFS: &str = "/dev/shm";

#[test]
fn every_kind_of_charge_is_told_and_what_is_left_over_is_small() {
    let charged = Charged::new("reconciled", Path::new(CACHE), Path::new(TMPFS));
    let told = charged.assert_reconciled();
    let account = &told["cgroup"];
    let bytes = |name: &str| account[name].as_u64().unwrap_or_else(|| panic!("no {name}: {account:#}"));
    assert_json(&told, &json!({"schema": "memtrace.cgroup/1", "cgroups": 1, "warnings": []}));
    // The limit is that of the cgroup above.
    assert_json(
        account,
        &json!({"path": charged.group.path().to_str(), "limit_bytes": null, "effective_limit_bytes": 400 * MIB,
            "limit_path": charged.above.path().to_str(), "headroom_bytes": 400 * MIB - bytes("charge_bytes"),
            "headroom_nonreclaimable_bytes": 400 * MIB - bytes("nonreclaimable_bytes"),
            "working_set_bytes": bytes("charge_bytes") - bytes("inactive_file_bytes")}),
    );
    let process = &told["processes"].as_array().expect("processes")[0];
    assert_json(process, &json!({"pid": charged.truth.pid(), "comm": "truth"}));
    assert_json(&process["go"], &json!({"verdict": "unset", "gomemlimit_bytes": null, "refused": null}));
    // The same by one of its processes, and by its path inside the hierarchy.
    let by_pid = Memtrace::json(&["cgroup", "-p", &charged.truth.pid().to_string()]);
    let by_place = Memtrace::json(&["cgroup", "-c", told["place"].as_str().expect("a place")]);
    for other in [by_pid, by_place] {
        assert_json(&other, &json!({"place": told["place"], "cgroups": 1}));
        assert_eq!(other["cgroup"]["path"], account["path"]);
    }
}

#[test]
fn without_rights_the_rows_are_net_and_still_sum() {
    let charged = Charged::new("unprivileged", Path::new(CACHE), Path::new(TMPFS));
    let dir = tempfile::tempdir_in("/tmp").expect("a directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("readable by all");
    let copy = dir.path().join("memtrace");
    fs::copy(Memtrace::path(), &copy).expect("a copy");
    let mut nobody = Command::new("setpriv");
    nobody.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&copy);
    let ended = Memtrace::start_command(nobody.args(["cgroup", "-o", "json", "-c"]).arg(charged.group.path())).end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let told = &ended.json()[0];
    let says = "shared pages and those charged elsewhere are not told apart: that takes CAP_SYS_ADMIN";
    assert_json(told, &json!({"warnings": [says]}));
    let of = &told["reconciliation"];
    let rows = of["rows"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names[..4], ["rss", "anon_net", "page_cache_net", "shmem_net"], "{of:#}");
    let sum: i64 = rows.iter().map(|row| row["bytes"].as_i64().expect("bytes")).sum();
    assert_eq!(told["cgroup"]["charge_bytes"], sum + of["residual_bytes"].as_i64().expect("a residual"), "{told:#}");
    assert!(of["by"] == "sums" && of["residual_ratio"].as_f64() <= Some(0.03), "{of:#}");
}

#[test]
fn what_version_1_does_not_say_is_null() {
    let group = MemoryCgroup::new("absent", 64 * MIB);
    assert!(group.is_version_1(), "this host accounts memory by version 1");
    let told = Memtrace::json(&["cgroup", "-c", group.path().to_str().expect("UTF-8")]);
    let absent = [
        "high_bytes",
        "kernel_stack_bytes",
        "page_tables_bytes",
        "slab_reclaimable_bytes",
        "slab_unreclaimable_bytes",
        "percpu_bytes",
        "sock_bytes",
        "hugetlb_bytes",
        "swap_limit_bytes",
        "lazyfree_pages",
        "lazyfreed_pages",
        "low_events",
        "high_events",
        "oom_events",
        "dying_descendants",
        "pressure",
    ];
    for name in absent {
        assert_eq!(told["cgroup"].get(name), Some(&json!(null)), "{name}");
    }
    let said = json!({"version": 1, "charge_bytes": 0, "anon_bytes": 0, "file_bytes": 0, "shmem_bytes": 0, "kernel_bytes": 0,
        "swap_bytes": 0, "limit_hits": 0, "oom_kills": 0, "limit_bytes": 64 * MIB, "effective_limit_bytes": 64 * MIB,
        "limit_path": group.path().to_str(), "headroom_bytes": 64 * MIB, "working_set_bytes": 0});
    assert_json(&told["cgroup"], &said);
    let nobody = json!({"runtime": null, "container_id": null, "pod_uid": null, "qos": null, "unit": null,
        "namespace": null, "pod": null, "container": null});
    assert_json(&told, &json!({"identity": nobody, "processes": [], "cgroups": 1}));
}

#[test]
fn gomemlimit_is_judged_by_what_is_beside_it() {
    let group = MemoryCgroup::new("gomemlimit", 400 * MIB);
    let left = group.inside(|| vec![1_u8; 40 * MIB as usize]);
    for (setting, verdict) in
        [("400MiB", "above_limit"), ("380MiB", "leaves_out_non_go"), ("355MiB", "too_close"), ("200MiB", "ok")]
    {
        let truth = Truth::start(&truth_binary(), &[("GOMEMLIMIT", setting)]);
        group.add(truth.pid());
        let told = Memtrace::json(&["cgroup", "-c", group.path().to_str().expect("UTF-8")]);
        let go = &told["processes"][0]["go"];
        assert_eq!(go["verdict"], verdict, "{setting}: {told:#}");
        // The limit less 5 %, less the 40 MiB and little else.
        let suggested = go["suggested_bytes"].as_u64().expect("a value");
        assert!((330 * MIB..=340 * MIB).contains(&suggested), "{suggested}: {told:#}");
        let text = Memtrace::run(&["cgroup", "-c", group.path().to_str().expect("UTF-8")]).lines.join(" ");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words.contains(&format!("set GOMEMLIMIT={}MiB", suggested >> 20)), verdict != "ok", "{text}");
    }
    assert_eq!(left.len() as u64, 40 * MIB);
}

#[test]
fn a_container_is_recognised_by_its_path() {
    let id = "0123456789abcdef".repeat(4);
    let group = MemoryCgroup::new("pods", 64 * MIB);
    let pod = group.below("kubepods-burstable-pod7d8f3a0c_1b2c_4d5e_8f90_a1b2c3d4e5f6.slice");
    let container = pod.below(&format!("cri-containerd-{id}.scope"));
    let told = Memtrace::json(&["cgroup", "-c", container.path().to_str().expect("UTF-8")]);
    let expected = json!({"runtime": "containerd", "container_id": id, "qos": "burstable",
        "pod_uid": "7d8f3a0c-1b2c-4d5e-8f90-a1b2c3d4e5f6"});
    assert_json(&told["identity"], &expected);
    drop(container);
    drop(pod);
}

#[test]
fn from_inside_a_cgroup_namespace_what_is_hidden_is_said() {
    let group = MemoryCgroup::new("namespace", 64 * MIB);
    let inside = |arguments: &str| {
        let mut shell = Command::new("sh");
        // In the cgroup first: the namespace begins where its process is.
        let script = format!(
            "echo $$ > {}/cgroup.procs && exec unshare --cgroup \"$0\" cgroup {arguments}",
            group.path().display()
        );
        Memtrace::start_command(shell.args(["-c", &script]).arg(Memtrace::path())).end()
    };
    // The mounts are those from outside: it finds itself by who is where.
    let own = inside("-o json");
    assert_eq!(own.code(), Some(0), "{}", own.stderr);
    assert_json(&own.json()[0]["cgroup"], &json!({"path": group.path().to_str(), "effective_limit_bytes": 64 * MIB}));
}

#[test]
fn a_neighbour_in_a_container_of_its_own_is_seen_through_its_mounts() {
    let (group, other) = (MemoryCgroup::new("neighbour", 64 * MIB), MemoryCgroup::new("sidecar", 32 * MIB));
    // As a runtime does it: into its cgroup, a namespace from there on, and that part of the hierarchy mounted.
    let contained = |group: &MemoryCgroup, program: &Path, arguments: &str| {
        let mount = "umount /sys/fs/cgroup/memory && mount -t cgroup -o memory none /sys/fs/cgroup/memory";
        let inner = format!("{mount} && exec {} {arguments}", program.display());
        let mut shell = Command::new("sh");
        let script =
            format!("echo $$ > {}/cgroup.procs && exec unshare --cgroup --mount sh -c \"$0\"", group.path().display());
        shell.args(["-c", &script]).arg(inner);
        shell
    };
    let mut target = Child::start(&mut contained(&group, &truth_binary(), ""));
    assert!(target.line().expect("truth is ready").contains("ready"));
    let look = format!("cgroup -o json -p {}", target.pid());
    let told = Memtrace::start_command(&mut contained(&other, Memtrace::path(), &look)).end();
    assert_eq!(told.code(), Some(0), "{}", told.stderr);
    let told = &told.json()[0];
    assert_json(&told["cgroup"], &json!({"limit_bytes": 64 * MIB, "effective_limit_bytes": 64 * MIB}));
    assert_json(&told["processes"][0], &json!({"pid": target.pid(), "comm": "truth"}));
    // From the sidecar's own part it sees itself, and not the host.
    let own = Memtrace::start_command(&mut contained(&other, Memtrace::path(), "cgroup -o json")).end();
    assert_json(&own.json()[0]["cgroup"], &json!({"path": "/sys/fs/cgroup/memory", "limit_bytes": 32 * MIB}));
}

#[test]
fn who_is_not_there_is_no_target() {
    let mut zombie = Child::start(&mut Command::new("true"));
    let pid = zombie.pid().to_string();
    let state = || memtrace_tests::process_state(pid.parse().expect("a pid"));
    memtrace_tests::wait_until("a zombie", || (state() == Some('Z')).then_some(()));
    let refused = |arguments: &[&str], says: &str| {
        let ended = Memtrace::run(&[&["cgroup"], arguments].concat());
        assert_eq!((ended.code(), ended.lines.len(), ended.stderr.lines().count()), (Some(4), 0, 1), "{ended:?}");
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    };
    refused(&["-p", &pid], "has ended");
    zombie.end();
    refused(&["-p", &pid], "is gone");
    refused(&["-c", "/no/such"], "no such cgroup");
    refused(&["-c", CACHE], "is no directory of the memory hierarchy");
    refused(&["-c", "/sys/fs/cgroup/pids"], "is no directory of the memory hierarchy");
    assert_eq!(Memtrace::run(&["cgroup", "-p", "1", "-c", "/"]).code(), Some(2));
}
