//! A Go program that knows what it allocated and freed, the Go runtime's own figures, the kernel's page tables, and
//! memtrace: all four must agree.
use memtrace_tests::{
    Memtrace, Processes as _, Truth, assert_json, monotonic_ns, present_pages, rollup, rss_bytes, stripped,
    truth_binary, wait_until,
};
use serde_json::{Value, json};
use std::path::Path;

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Of 64 MiB that were dropped: a few blocks may still be named by a register or a dead variable.
const MOST: u64 = 56 * MIB;
/// The Go runtime's page, the unit of its heap.
const RUNTIME_PAGE: u64 = 8192;

/// Two that return memory at once cannot be compared with the counters: each takes its length from one of them before
/// its call is seen. With one P the background scavenger waits for FreeOSMemory, whose calls are made without giving
/// the P up; without a heap goal it has little to do.
const ONE_SCAVENGER: [(&str, &str); 2] = [("GOGC", "off"), ("GOMAXPROCS", "1")];

#[track_caller]
fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {json:#}"))
}

/// A running `trace -o json` of the calls that map and unmap.
struct Trace {
    memtrace: Memtrace,
}

impl Trace {
    #[track_caller]
    fn of(truth: &mut Truth, arguments: &[&str]) -> Self {
        let pid = truth.pid().to_string();
        let fixed = ["trace", "-o", "json", "--family", "advise,map", "-p", &pid];
        let memtrace = Memtrace::start(&[&fixed[..], arguments].concat());
        wait_until("the probes", || {
            truth.all(&["alloc 8", "free", "freeosmemory"]);
            memtrace.has_spoken().then_some(())
        });
        Self { memtrace }
    }

    /// The events in order, and the account checked.
    #[track_caller]
    fn end(self) -> Vec<Value> {
        let ended = self.memtrace.interrupt();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        let mut lines = ended.lines_before_the_account();
        lines.sort_by_key(|line| number(line, "/t_ns"));
        lines
    }
}

/// What happened from `from` to `to`, with how much was asked for in each.
#[track_caller]
fn window<'a>(events: &'a [Value], op: &str, (from, to): (u64, u64)) -> Vec<&'a Value> {
    let inside = |event: &&Value| {
        let (t, duration) = (number(event, "/t_ns"), number(event, "/duration_ns"));
        event["op"] == op && t >= from && t - duration <= to
    };
    events.iter().filter(inside).collect()
}

fn sum(events: &[&Value], field: &str) -> u64 {
    events.iter().map(|event| number(event, field)).sum()
}

#[test]
fn what_freeosmemory_returns_is_what_the_page_tables_lost() {
    let mut truth = Truth::start(&truth_binary(), &ONE_SCAVENGER);
    let pid = truth.pid();
    let trace = Trace::of(&mut truth, &[]);
    truth.all(&["alloc 64", "gc", "gc", "free"]);
    // At rest: the runtime's own scavenger has nothing under way.
    let (rss_before, before) = wait_until("the program to be at rest", || {
        let (rss, pages) = (rss_bytes(pid), present_pages(pid));
        (pages == present_pages(pid) && rss == rss_bytes(pid)).then_some((rss, pages))
    });
    let start = monotonic_ns();
    truth.run("freeosmemory");
    let end = monotonic_ns();
    let (after, rss_after) = (present_pages(pid), rss_bytes(pid));
    let events = trace.end();
    let advised = window(&events, "madvise", (start, end));
    let unmapped = sum(&advised, "/unmapped_bytes");
    assert!(unmapped >= MOST, "{advised:#?}");
    assert_eq!(sum(&window(&events, "munmap", (start, end)), "/unmapped_bytes"), 0);
    assert!(advised.iter().all(|event| event["advice"] == "dontneed" && event["approximate"] == false), "{advised:#?}");
    // Pages that were there and are not; and those that came meanwhile, for the collector's own use.
    let lost = before.difference(&after).count() as u64 * PAGE;
    let came = after.difference(&before).count() as u64 * PAGE;
    assert_eq!(rss_before - rss_after, lost - came, "RSS and page tables agree: lost {lost}, came {came}");
    // A page the collector took after `before` and returned, or returned and took again, is in neither difference.
    let again: u64 = advised
        .iter()
        .map(|event| {
            let (address, length) = (number(event, "/address"), number(event, "/length_bytes"));
            (address..address + length).step_by(PAGE as usize).filter(|page| after.contains(page)).count() as u64 * PAGE
        })
        .sum();
    let fresh: u64 = advised
        .iter()
        .map(|event| {
            let (address, length) = (number(event, "/address"), number(event, "/length_bytes"));
            let old =
                (address..address + length).step_by(PAGE as usize).filter(|page| before.contains(page)).count() as u64;
            number(event, "/resident_bytes").saturating_sub(old * PAGE)
        })
        .sum();
    assert_eq!(unmapped, lost + again + fresh, "lost {lost}, taken again {again}, taken since {fresh}");
    assert!(again + fresh <= MIB, "the program is at rest: {again} {fresh}");
}

/// What the ledger and the runtime's counters owe each other, exactly:
/// * `sysUnused` first takes the length from `mappedReady`, then makes the madvise call, then adds it to
///   `heapReleased`. So at the end of a call its length is in neither.
/// * `sysUsed` makes no system call. It takes from `heapReleased` what it adds to `mappedReady`.
/// * Only a growing heap or new metadata change the sum of the two, and both need an mmap.
///
/// Hence `heapReleased + mappedReady + length` is the same at the end of every call between which nothing was mapped,
/// whatever `sysUsed` did meanwhile, and the balance follows: released after = before + lengths - used.
#[test]
fn released_moves_by_what_the_ledger_returned_less_what_was_used_again() {
    let mut truth = Truth::start(&truth_binary(), &ONE_SCAVENGER);
    let trace = Trace::of(&mut truth, &[]);
    truth.all(&["alloc 96", "free", "freeosmemory", "alloc 32", "free", "gc"]);
    let before = truth.run("memstats");
    let start = monotonic_ns();
    truth.run("freeosmemory");
    let end = monotonic_ns();
    let after = truth.run("memstats");
    let events = trace.end();
    let calls: Vec<&Value> = events.iter().filter(|event| event["op"] == "madvise").collect();
    assert!(calls.iter().all(|call| call["advice"] == "dontneed" && call["result"] == 0), "{calls:#?}");
    let owed = |call: &Value| {
        number(call, "/heap/released_bytes") + number(call, "/heap/mapped_ready_bytes") + number(call, "/length_bytes")
    };
    let span = |event: &Value| (number(event, "/t_ns") - number(event, "/duration_ns"), number(event, "/t_ns"));
    let mut compared = 0;
    for pair in calls.windows(2) {
        let ((first_begin, _), (begin, finish)) = (span(pair[0]), span(pair[1]));
        // A call of another thread in flight holds its own length back; a mapping changes the sum.
        let disturbed = events.iter().any(|event| {
            let (other_begin, other_end) = span(event);
            event != pair[0] && event != pair[1] && other_end >= first_begin && other_begin <= finish
        });
        let apart = begin >= span(pair[0]).1;
        if apart && !disturbed && pair[0]["tid"] == pair[1]["tid"] {
            assert_eq!(owed(pair[0]), owed(pair[1]), "{:#} {:#}", pair[0], pair[1]);
            compared += 1;
        }
    }
    assert!(compared >= 20, "only {compared} pairs of {} calls could be compared", calls.len());
    // From the last call on nothing takes a span: the program's own answer allocates nothing.
    let returned = window(&events, "madvise", (start, end));
    let last = returned.last().expect("a call");
    let released = number(&after, "/heap_released_bytes");
    assert_eq!(released, number(last, "/heap/released_bytes") + number(last, "/length_bytes"), "{last:#}");
    // The whole window: what the collector took for itself before the first call it took from what was released.
    let first = returned[0];
    let used_before = number(&before, "/heap_released_bytes") - number(first, "/heap/released_bytes");
    let ready = |call: &Value| number(call, "/heap/mapped_ready_bytes");
    let used_between = ready(last) + sum(&returned[1..], "/length_bytes") - ready(first);
    assert_eq!(used_before % RUNTIME_PAGE + used_between % RUNTIME_PAGE, 0, "whole pages of the runtime");
    assert_eq!(
        released + used_before + used_between,
        number(&before, "/heap_released_bytes") + sum(&returned, "/length_bytes"),
        "used before the first call {used_before}, between the calls {used_between}"
    );
    assert!(sum(&returned, "/length_bytes") >= 24 * MIB, "{returned:#?}");
}

#[test]
fn the_heap_beside_the_ledger_is_what_the_program_itself_reads() {
    heap_is_what_the_program_reads(&truth_binary(), "dwarf");
}

#[test]
fn the_heap_of_a_stripped_program_is_there_too() {
    let dir = tempfile::tempdir().expect("a directory");
    heap_is_what_the_program_reads(&stripped(&truth_binary(), dir.path()), "vote");
}

fn heap_is_what_the_program_reads(binary: &Path, read_by: &str) {
    let mut truth = Truth::start(binary, &[]);
    let mut memtrace = Memtrace::attach(truth.pid(), &[]);
    let pid = truth.pid();
    for commands in [&["alloc 40"][..], &["free", "gc"], &["freeosmemory"], &["alloc 10"]] {
        truth.all(commands);
        let (stats, interval) = truth.compare(|| memtrace.settle());
        let process = interval.process(pid);
        let released = number(&stats, "/heap_released_bytes");
        let expected = json!({
            "heap": {
                "inuse_bytes": {"end": stats["heap_inuse_bytes"]},
                "idle_bytes": {"end": stats["heap_idle_bytes"]},
                "released_bytes": {"end": released},
            },
            "retained_idle_bytes": number(&stats, "/heap_idle_bytes") - released,
            "rss_bytes": {"end": stats["rss_bytes"]},
        });
        assert_json(process, &expected);
    }
    let summary = memtrace.interrupt().summary();
    let process = summary.process(pid);
    let version = truth.go_version.clone();
    assert_json(
        process,
        &json!({"go": {"version": version, "read_by": read_by}, "comm": binary.file_name().and_then(|name| name.to_str())}),
    );
    let in_use = number(process, "/heap/inuse_bytes/peak");
    assert!(in_use >= 40 * MIB && in_use >= number(process, "/heap/inuse_bytes/end"), "{process:#}");
    assert_eq!(process["gap_bytes"].as_i64(), {
        let [rss, used] = ["/rss_bytes/end", "/heap/inuse_bytes/end"].map(|at| number(process, at) as i64);
        Some(rss - used)
    });
}

#[test]
fn the_stat_ledger_of_a_go_program_adds_up() {
    let mut truth = Truth::start(&truth_binary(), &ONE_SCAVENGER);
    let pid = truth.pid();
    let memtrace = Memtrace::attach(pid, &[]);
    truth.all(&["alloc 64", "free"]);
    let before = present_pages(pid);
    truth.run("freeosmemory");
    let after = present_pages(pid);
    truth.run("alloc 24");
    let again = present_pages(pid);
    assert_eq!(truth.last("exit 3").code(), Some(3));
    let summary = memtrace.end().summary();
    let process = summary.process(pid);
    assert_json(process, &json!({"exit": {"code": 3}, "returned_by": "unmapped", "untracked_bytes": 0}));
    let dontneed = &process["advise"]["dontneed"];
    assert_json(dontneed, &json!({"failed_calls": 0, "approximate_calls": 0, "unmeasured_calls": 0}));
    let (returned, refaulted) = (number(process, "/returned_bytes"), number(process, "/refaulted_bytes"));
    assert!(returned >= MOST, "{process:#}");
    // What the page tables lost and had again. Pages that the collector took again before `after` was read, or that
    // came and went since `before`, are in no snapshot: they are few, since the program is at rest.
    let back = before.difference(&after).filter(|page| again.contains(page)).count() as u64 * PAGE;
    assert!(back >= 16 * MIB && (back..=back + MIB / 4).contains(&refaulted), "refaulted {refaulted}, back {back}");
    assert_eq!(number(process, "/kept_bytes"), returned - refaulted);
    assert_eq!(number(process, "/time_to_refault_ns/count") * PAGE, refaulted);
    assert!(number(dontneed, "/unmapped_bytes") <= number(dontneed, "/asked_bytes"), "{process:#}");
}

#[test]
fn with_madvdontneed_0_nothing_is_returned_and_what_is_released_is_lazy() {
    /// Pages on their way to being lazy, one batch for each CPU (PAGEVEC_SIZE).
    const BATCH: u64 = 31;
    let mut truth = Truth::start(&truth_binary(), &[("GODEBUG", "madvdontneed=0")]);
    let pid = truth.pid();
    let memtrace = Memtrace::attach(pid, &[]);
    truth.all(&["alloc 64", "free", "freeosmemory"]);
    let lazy_before = rollup(pid, "LazyFree");
    let summary = memtrace.interrupt().summary();
    let lazy_after = rollup(pid, "LazyFree");
    let process = summary.process(pid);
    let free = json!({"failed_calls": 0, "unmapped_bytes": 0, "refaulted_bytes": 0, "approximate_calls": 0});
    assert_json(
        process,
        &json!({"advise": {"free": free}, "returned_bytes": 0, "kept_bytes": 0, "refaulted_bytes": 0}),
    );
    assert!(process["advise"]["dontneed"].is_null(), "{process:#}");
    let said = number(process, "/lazy_bytes");
    assert!(
        lazy_before.min(lazy_after) <= said && said <= lazy_before.max(lazy_after),
        "{said} {lazy_before} {lazy_after}"
    );
    // Everything the runtime released in this window, but pages it has taken again since and the CPUs' open batches.
    let released = number(process, "/advise/free/resident_before_bytes");
    let cpus = std::thread::available_parallelism().expect("CPUs").get() as u64;
    assert!(said <= released && released - said <= BATCH * cpus * PAGE + MIB, "lazy {said} of {released}");
    assert!(released >= MOST, "{process:#}");
}

#[test]
fn the_call_site_of_a_return_is_named() {
    let mut truth = Truth::start(&truth_binary(), &[]);
    let trace = Trace::of(&mut truth, &["--stack"]);
    truth.all(&["alloc 64", "free"]);
    let start = monotonic_ns();
    truth.run("freeosmemory");
    let end = monotonic_ns();
    let events = trace.end();
    let calls = window(&events, "madvise", (start, end));
    let stack = |call: &Value| -> Vec<String> {
        let frames = call["stack"].as_array().cloned().unwrap_or_default();
        frames.iter().map(|frame| frame["function"].as_str().unwrap_or("?").to_owned()).collect()
    };
    let by_program: Vec<_> =
        calls.iter().filter(|call| stack(call).iter().any(|f| f == "runtime/debug.FreeOSMemory")).collect();
    let unmapped: u64 = by_program.iter().map(|call| number(call, "/unmapped_bytes")).sum();
    assert!(unmapped >= MOST, "{:?}", calls.iter().map(|call| stack(call)).collect::<Vec<_>>());
    for call in by_program {
        let stack = stack(call);
        assert_eq!(stack.first().map(String::as_str), Some("runtime.madvise"), "{stack:?}");
        assert!(stack.iter().any(|f| f == "main.main") && !stack.iter().any(|f| f == "?"), "{stack:?}");
        let file = call["stack"][0]["file"].as_str().expect("a file");
        assert!(file.ends_with(".s") && call["stack"][0]["line"].as_u64() > Some(0), "{}", call["stack"][0]);
    }
}

#[test]
fn an_anonymous_mapping_has_its_creator() {
    let mut truth = Truth::start(&truth_binary(), &[]);
    let pid = truth.pid();
    let memtrace = Memtrace::attach(pid, &["--stack"]);
    truth.run("map 24");
    let summary = memtrace.interrupt().summary();
    let end = &summary.process(pid)["waterfall"]["end"];
    let anonymous = end["anonymous"].as_array().expect("mappings");
    let of = |mapping: &&Value| mapping["creator"].as_str().is_some_and(|creator| creator.starts_with("main.mapped "));
    let bytes: u64 = anonymous.iter().filter(of).map(|mapping| number(mapping, "/bytes")).sum();
    assert_eq!(bytes, 24 * MIB, "{end:#}");
}

#[test]
fn all_go_programs_are_found_and_nobody_else() {
    let mut early = Truth::start(&truth_binary(), &[]);
    let mut stranger = memtrace_tests::Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let mut memtrace = Memtrace::ready(&["-a"]);
    let mut late = Truth::start(&truth_binary(), &[]);
    stranger.all(&["mmap 0p 64p", "write 0p 64p", "madvise 0p 64p dontneed"]);
    memtrace.settle();
    for truth in [&mut early, &mut late] {
        truth.all(&["alloc 16", "free", "freeosmemory"]);
    }
    let summary = memtrace.interrupt().summary();
    for pid in [early.pid(), late.pid()] {
        let process = summary.process(pid);
        assert_json(process, &json!({"go": {"version": early.go_version}}));
        assert!(number(process, "/advise/dontneed/unmapped_bytes") >= 12 * MIB, "{process:#}");
    }
    for process in summary.processes() {
        assert!(process["go"].is_object(), "{process:#}");
    }
}
