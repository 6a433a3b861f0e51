//! What a memory cgroup and the host tell of their memory, as `memtrace trace` and `stat` tell it.
use crate::{LIMIT, MemoryCgroup, Memtrace, PAGE, Pages, Processes as _, assert_json, quiet_truth, wait_until};
use serde_json::{Value, json};

/// Any stall at all.
const ANY_STALL: [&str; 2] = ["--psi", "some 1 500000"];

/// Offers most of what the cgroup may have, and takes as much anew: the kernel must take what was offered. Nobody is killed.
pub fn outgrow(pages: &mut Pages, n: u64) {
    let other = 2 * n;
    pages.all(&[
        &format!("mmap 0p {n}p"),
        &format!("madvise 0p {n}p nohugepage"),
        &format!("write 0p {n}p"),
        &format!("madvise 0p {n}p free"),
        &format!("mmap {other}p {n}p"),
        &format!("madvise {other}p {n}p nohugepage"),
        &format!("write {other}p {n}p"),
    ]);
}

/// A Go program at rest, beside another process of its cgroup that reaches the limit, and is killed at last.
#[track_caller]
pub fn pressure_is_told(mut pages: Pages) {
    let group = MemoryCgroup::new("told", LIMIT);
    let path = group.path().to_string_lossy().into_owned();
    let mut program = quiet_truth();
    let pid = program.pid();
    group.add(pid);
    group.add(pages.pid());
    std::fs::write(format!("/proc/{}/oom_score_adj", pages.pid()), "1000").expect("the first to go");
    let pid_text = pid.to_string();
    let stat = Memtrace::attach(pid, &ANY_STALL);
    let arguments = ["trace", "-o", "json", "--family", "advise,pressure", "-p", &pid_text];
    let mut trace = Memtrace::start(&[&arguments[..], &ANY_STALL].concat());
    wait_until("the probes", || {
        program.all(&["alloc 8", "free", "freeosmemory"]);
        trace.has_spoken().then_some(())
    });
    let (said, ()) = program.compare(|| ());
    let said = |name: &str| said[name].as_u64().expect("a number");
    let heap = json!({
        "inuse_bytes": said("heap_inuse_bytes"),
        "released_bytes": said("heap_released_bytes"),
        "total_alloc_bytes": said("total_alloc_bytes"),
    });
    outgrow(&mut pages, LIMIT * 3 / 4 / PAGE);
    let mut all = Vec::new();
    let mut until = |is_all: &dyn Fn(&[Value]) -> bool| {
        while !is_all(&all) {
            let line: Value = serde_json::from_str(&trace.text_line()).expect("JSON");
            if line["family"] == "pressure" {
                let expected = json!({"pid": pid, "tid": null, "comm": "truth", "heap": heap});
                // Of what comes next in vain, this is all that did come.
                eprintln!("{line}");
                assert_json(&line, &expected);
                assert!([json!(path), Value::Null].contains(&line["detail"]["cgroup"]), "{line}");
                all.push(line);
            }
        }
    };
    until(&|lines| has(lines, "stall", None));
    if group.is_version_1() {
        until(&|lines| has(lines, "level", Some(&path)) && has(lines, "threshold", Some(&path)));
    } else {
        assert!(group.event("max") > 0, "the limit was not reached");
        // It goes on being reached: by the program at rest, if by nobody else.
        until(&|lines| sum(lines, "max") == group.event("max") && has(lines, "stall", Some(&path)));
    }
    pages.say(&format!("write 0p {}p", LIMIT / PAGE));
    if group.is_version_1() {
        until(&|lines| has(lines, "out_of_memory", Some(&path)));
    } else {
        until(&|lines| sum(lines, "oom_kill") == 1);
    }
    let threshold = all.iter().find(|line| line["op"] == "threshold");
    assert!(threshold.is_none_or(|line| line["detail"]["threshold_bytes"] == LIMIT / 100 * 90), "{threshold:?}");
    let ended = trace.interrupt();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let summary = stat.interrupt().summary();
    assert_eq!(summary.process(pid)["cgroup_path"], path);
    let of = summary["pressure"].as_array().expect("a list").iter().find(|of| of["cgroup"] == path);
    let of = of.unwrap_or_else(|| panic!("nothing of {path}: {}", summary["pressure"]));
    if group.is_version_1() {
        let times: Vec<u64> = ["low", "medium", "critical"].map(|level| number(&of["level"][level])).to_vec();
        assert!(times.iter().sum::<u64>() > 0 && number(&of["out_of_memory"]) > 0, "{of:#}");
        assert!(number(&of["threshold_passed"]) > 0, "{of:#}");
    } else {
        let expected = json!({"events": {"max": group.event("max"), "oom": group.event("oom"), "oom_kill": 1}});
        assert_json(of, &expected);
    }
    let newest = of["newest"].as_array().expect("a list").last().expect("one");
    assert_json(&newest["heap"][&pid_text], &heap);
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// `None`: the host.
fn has(lines: &[Value], op: &str, cgroup: Option<&str>) -> bool {
    lines.iter().any(|line| line["op"] == op && line["detail"]["cgroup"].as_str() == cgroup)
}

fn sum(lines: &[Value], event: &str) -> u64 {
    lines.iter().filter_map(|line| line["detail"][event].as_u64()).sum()
}
