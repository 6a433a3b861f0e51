//! What `memtrace trace` says of Go programs as they were killed is what they had said themselves.
use crate::{LIMIT, MemoryCgroup, Memtrace, Pages, Truth, assert_json, truth_binary, wait_until};
use serde_json::{Value, json};

/// Without a heap goal nothing is done in the background. A goroutine that goes on elsewhere after a while takes spans for
/// the caches there: there is no elsewhere, and nobody interrupts it.
pub fn quiet_truth() -> Truth {
    Truth::start(&truth_binary(), &[("GOGC", "off"), ("GOMAXPROCS", "1"), ("GODEBUG", "asyncpreemptoff=1")])
}

/// `trace` of kills, and of the calls of the last program, which is the last to be observed.
#[track_caller]
pub fn observed(programs: &mut [Truth]) -> Memtrace {
    let pids: Vec<String> = programs.iter().map(|program| program.pid().to_string()).collect();
    let memtrace = Memtrace::start(&["trace", "-o", "json", "--family", "advise,oom,task", "-p", &pids.join(",")]);
    let last = programs.last_mut().expect("a program");
    wait_until("the probes", || {
        last.all(&["alloc 8", "free", "freeosmemory"]);
        memtrace.has_spoken().then_some(())
    });
    memtrace
}

/// All lines, with a closed account and nothing lost.
#[track_caller]
pub fn observed_until_the_end(memtrace: Memtrace) -> Vec<Value> {
    let ended = memtrace.end();
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    ended.lines_before_the_account()
}

pub fn last_words(lines: &[Value], pid: u32) -> Vec<&Value> {
    lines.iter().filter(|line| line["op"] == "last_words" && line["pid"] == pid).collect()
}

/// The one record of a process, and that it says what the program said last.
#[track_caller]
pub fn assert_said(lines: &[Value], pid: u32, said: &Value) {
    let [words] = last_words(lines, pid)[..] else { panic!("not one record of {pid}: {lines:#?}") };
    let number = |name: &str| said[name].as_u64().expect("a number");
    let expected = json!({
        "family": "oom",
        "heap": {
            "inuse_bytes": number("heap_inuse_bytes"),
            "released_bytes": number("heap_released_bytes"),
            "free_bytes": number("heap_idle_bytes") - number("heap_released_bytes"),
            "total_alloc_bytes": number("total_alloc_bytes"),
        },
        "detail": {"absent_ranges": 0},
    });
    assert_json(words, &expected);
}

/// In a cgroup that another process fills.
#[track_caller]
pub fn oom_killed_because_of(mut pages: Pages) {
    let group = MemoryCgroup::new("words", LIMIT);
    let mut programs = [quiet_truth()];
    let pid = programs[0].pid();
    group.add(pid);
    group.add(pages.pid());
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), "1000").expect("the first to go");
    let memtrace = observed(&mut programs);
    programs[0].run("alloc 24");
    let (said, ()) = programs[0].compare(|| ());
    pages.all(&["mmap 0p 12288p", "madvise 0p 12288p nohugepage"]);
    // Until the memory of the first is free, it may have to go too.
    pages.say("write 0p 12288p");
    let lines = observed_until_the_end(memtrace);
    assert_said(&lines, pid, &said);
    let kill = lines.iter().find(|line| line["op"] == "kill" && line["pid"] == pid).expect("a kill");
    assert_json(kill, &json!({"family": "oom", "heap": null, "detail": {"allocator_pid": pages.pid()}}));
}

/// In a cgroup that it fills itself, with memory that is none of the heap's.
#[track_caller]
pub fn oom_killed_by_itself() {
    let group = MemoryCgroup::new("own-words", LIMIT);
    let mut programs = [quiet_truth()];
    let pid = programs[0].pid();
    group.add(pid);
    let memtrace = observed(&mut programs);
    programs[0].run("alloc 24");
    let (said, ()) = programs[0].compare(|| ());
    let [program] = programs;
    program.last("fill");
    assert_said(&observed_until_the_end(memtrace), pid, &said);
}
