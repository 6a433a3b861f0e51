//! Which hook the system calls get: the one that costs processes that are not observed less, by measurement.
use crate::ledger::PAGES;
use crate::{Test, note, test};
use memtrace_tests::{Memtrace, Pages, monotonic_ns};

const HOOKS: [&str; 2] = ["fentry", "tracepoint"];
/// Calls in a row, short enough that some rows run without the machine's other work.
const CALLS: usize = 1000;
const ROWS: usize = 200;
const TRIES: usize = 3;

pub(crate) fn tests() -> Vec<Test> {
    vec![test("system_calls_get_the_hook_that_costs_bystanders_less", cheapest)]
}

fn cheapest() {
    let expected = std::env::var("VM_SYSCALL_HOOK").expect("the expected hook");
    let doctor = Memtrace::json(&["doctor"]);
    let probes = doctor["probes"].as_array().expect("probes");
    let hook = probes.iter().find(|probe| probe["name"] == "madvise_in").expect("madvise_in")["hook"].clone();
    assert!(hook.as_str().is_some_and(|hook| hook.starts_with(&expected)), "doctor says {hook}, not {expected}");
    let idle = nothing();
    // What is expected is attached below, or fails there; tracepoints are everywhere.
    let is_there = [expected == HOOKS[0] || is_accepted(HOOKS[0]), true];
    let mut costs = is_there.map(|is_there| is_there.then_some(f64::INFINITY));
    // Each in turn: what else the machine does at one time is not taken for the price of one of them.
    for _ in 0..TRIES {
        for (hook, cost) in HOOKS.iter().zip(&mut costs) {
            *cost = cost.map(|cost| cost.min(cost_ratio(hook, idle)));
        }
        if is_there != [true; 2] || (costs[0] < costs[1]) == (expected == HOOKS[0]) {
            break;
        }
    }
    for (hook, ratio) in HOOKS.iter().zip(costs) {
        let said = ratio.map_or("refused here".to_owned(), |ratio| format!("{ratio:.2}"));
        note(&format!("a system call of a process nobody observes, by {hook}, against none without memtrace: {said}"));
    }
    let [Some(fentry), Some(tracepoint)] = costs else {
        // What cannot be attached cannot be chosen, and is refused when asked for.
        assert!(costs[0].is_none() && costs[1].is_some() && expected == "tracepoint", "{costs:?}");
        return;
    };
    let cheaper = if fentry < tracepoint { "fentry" } else { "tracepoint" };
    assert_eq!(cheaper, expected, "fentry {fentry:.3}, tracepoint {tracepoint:.3} of a call without memtrace");
}

/// ns of a row of calls that have nothing to do with memory, at their fastest.
fn nothing() -> f64 {
    let row = || {
        let began = monotonic_ns();
        for _ in 0..CALLS {
            // SAFETY: no arguments, no effect.
            unsafe { libc::syscall(libc::SYS_getppid) };
        }
        monotonic_ns() - began
    };
    (0..ROWS).map(|_| row()).min().unwrap_or(0) as f64
}

fn is_accepted(hook: &str) -> bool {
    let pages = Pages::start(PAGES, &[]);
    let tried = Memtrace::run(&["stat", "-p", &pages.pid().to_string(), "-d", "1ms", "--syscall-hook", hook]);
    if tried.code() == Some(3) {
        println!("{}", tried.stderr);
    }
    tried.code() != Some(3)
}

/// What a call of this process, which nobody observes, takes while memtrace observes another by this hook, in units of
/// the same without memtrace.
fn cost_ratio(hook: &str, idle: f64) -> f64 {
    let pages = Pages::start(PAGES, &[]);
    let memtrace = Memtrace::attach(pages.pid(), &["--syscall-hook", hook]);
    let taken = nothing();
    let ended = memtrace.interrupt();
    ended.summary();
    assert!(!ended.stderr.contains("system calls by tracepoints"), "{}", ended.stderr);
    taken / idle.min(nothing())
}
