//! What memtrace reads out of a Go program that has stopped itself, against what the program has read itself.
use super::{run, start};
use crate::child::Child;
use crate::wait::wait_until;
use memtrace::goruntime::spans::SpanState;
use memtrace::goruntime::{MemStats, Runtime, Sample};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// The state letter of /proc/PID/stat.
fn state(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_ascii_whitespace().next()?.to_owned())
}

/// By the names that the program gives them.
fn numbers(m: &MemStats) -> BTreeMap<&'static str, Vec<u64>> {
    let by_size = |of: fn(&memtrace::goruntime::memstats::BySize) -> u64| m.by_size.iter().map(of).collect();
    let pauses = m.pauses.as_ref().expect("pauses were read");
    BTreeMap::from([
        ("Alloc", vec![m.alloc]),
        ("TotalAlloc", vec![m.total_alloc]),
        ("Sys", vec![m.sys]),
        ("Lookups", vec![m.lookups]),
        ("Mallocs", vec![m.mallocs]),
        ("Frees", vec![m.frees]),
        ("HeapAlloc", vec![m.heap_alloc]),
        ("HeapSys", vec![m.heap_sys]),
        ("HeapIdle", vec![m.heap_idle]),
        ("HeapInuse", vec![m.heap_inuse]),
        ("HeapReleased", vec![m.heap_released]),
        ("HeapObjects", vec![m.heap_objects]),
        ("StackInuse", vec![m.stack_inuse]),
        ("StackSys", vec![m.stack_sys]),
        ("MSpanInuse", vec![m.mspan_inuse]),
        ("MSpanSys", vec![m.mspan_sys]),
        ("MCacheInuse", vec![m.mcache_inuse]),
        ("MCacheSys", vec![m.mcache_sys]),
        ("BuckHashSys", vec![m.buck_hash_sys]),
        ("GCSys", vec![m.gc_sys]),
        ("OtherSys", vec![m.other_sys]),
        ("NextGC", vec![m.next_gc]),
        ("LastGC", vec![m.last_gc]),
        ("PauseTotalNs", vec![m.pause_total_ns]),
        ("PauseNs", pauses.ns.to_vec()),
        ("PauseEnd", pauses.end.to_vec()),
        ("NumGC", vec![m.num_gc.into()]),
        ("NumForcedGC", vec![m.num_forced_gc.into()]),
        ("GCCPUFraction", vec![m.gc_cpu_fraction.to_bits()]),
        ("EnableGC", vec![m.enable_gc.into()]),
        ("DebugGC", vec![m.debug_gc.into()]),
        ("BySizeSize", by_size(|of| of.size.into())),
        ("BySizeMallocs", by_size(|of| of.mallocs)),
        ("BySizeFrees", by_size(|of| of.frees)),
    ])
}

/// Reads a program that has stopped itself right after ReadMemStats; every number that differs.
fn differences(program: &mut Child) -> Vec<String> {
    let pid = program.pid();
    program.say("stats");
    wait_until("the program to stop itself", || state(pid).filter(|state| state == "T"));
    let runtime = Runtime::attach(pid);
    let read = runtime.as_ref().map_err(ToString::to_string).and_then(|runtime| {
        let sample = runtime.sampler().and_then(|mut sampler| {
            // From the third on, where the Ps' spans are is known beforehand.
            let samples = [(); 4].map(|()| sampler.sample(runtime));
            let [first, others @ ..] = samples;
            let first = first?;
            for other in others {
                assert_eq!(other?, first, "another sample of a stopped program");
            }
            // As the agent asks.
            let mut seldom = runtime.sampler()?.without_pauses(runtime);
            let memstats = MemStats { pauses: None, ..first.memstats.clone() };
            for _ in 0..4 {
                assert_eq!(
                    seldom.sample(runtime)?,
                    Sample { memstats: memstats.clone(), ..first.clone() },
                    "no pauses"
                );
            }
            Ok(first)
        });
        let mheap = |sample| Ok((sample, runtime.mheap()?));
        let all = sample.and_then(mheap).and_then(|(sample, mheap)| {
            Ok((sample, mheap, runtime.spans()?, runtime.free_pages()?, runtime.goroutines()?))
        });
        all.map_err(|why| why.to_string())
    });
    program.signal(libc::SIGCONT);
    let said: Value = serde_json::from_str(&program.line().expect("the statistics")).expect("JSON");
    let (sample, mheap, spans, free, goroutines) = match read {
        Ok(read) => read,
        Err(why) => return vec![why],
    };
    let m = &sample.memstats;
    let mut found = numbers(m);
    found.insert("NumGoroutine", vec![sample.num_goroutine]);
    found.insert("GOMAXPROCS", vec![sample.procs]);
    found.insert("GOGC", vec![sample.gogc_percent.map_or(u64::MAX, u64::from)]);
    found.insert("GOMEMLIMIT", vec![sample.gomemlimit_bytes.unwrap_or(i64::MAX as u64)]);
    let said = said.as_object().expect("an object");
    let mut differ = Vec::new();
    for (name, value) in said {
        let value: Vec<u64> = match value {
            Value::Array(list) => list.iter().map(|number| number.as_u64().expect("a number")).collect(),
            Value::Bool(is) => vec![u64::from(*is)],
            number => vec![number.as_u64().expect("a number")],
        };
        if found.get(name.as_str()) != Some(&value) {
            differ.push(format!("{name}: {:?}, the program {value:?}", found.get(name.as_str())));
        }
    }
    let mut equal = |what: &str, left: u64, right: u64| {
        if left != right {
            differ.push(format!("{what}: {left} and {right}"));
        }
    };
    equal("numbers", said.len() as u64, found.len() as u64);
    equal("skew", sample.skew_bytes, 0);
    equal("spans in use and HeapInuse", spans.bytes(SpanState::InUse), m.heap_inuse);
    equal("damaged spans", spans.damaged, 0);
    equal("pages in use and HeapInuse", mheap.in_use_bytes, m.heap_inuse);
    equal("all spans and those of the walk", mheap.spans, spans.spans.len() as u64 + spans.dead);
    equal("size classes and HeapInuse", spans.classes().0.iter().map(|class| class.span_bytes).sum(), m.heap_inuse);
    equal("idle pages and HeapIdle - HeapReleased", free.idle_bytes(), m.heap_idle - m.heap_released);
    equal("released pages, padding and HeapReleased", free.released_bytes() + free.padding_bytes(), m.heap_released);
    let all: u64 = goroutines.kinds.values().map(|count| count.count).sum();
    equal("goroutines at least NumGoroutine", all.min(sample.num_goroutine), sample.num_goroutine);
    differ
}

/// Threads of the runtime (the scavenger, the collector's workers) may still be at work between ReadMemStats and the
/// stop: then the program was not at rest, and is asked again. What is read wrongly is wrong every time.
fn differences_at_rest(program: &mut Child) -> Vec<String> {
    const TRIES: usize = 10;
    let mut differ = Vec::new();
    for _ in 0..TRIES {
        differ = differences(program);
        if differ.is_empty() {
            break;
        }
    }
    differ
}

/// After each step, so that heaps at rest, with goroutines, with limits and shrunk all count.
#[track_caller]
pub fn differences_at_each_step(command: &mut Command) -> Vec<String> {
    let (mut wrong, mut program) = (Vec::new(), start(command));
    for steps in [
        &["mix"][..],
        &["go", "procs 5", "gc"],
        &["gogc 50", "limit 300", "free 9", "procs 2", "gc"],
        &["ungo", "freeos"],
    ] {
        for step in steps {
            run(&mut program, step);
        }
        wrong.extend(differences_at_rest(&mut program).into_iter().map(|of| format!("{steps:?} {of}")));
    }
    program.close_stdin();
    program.end();
    wrong
}
