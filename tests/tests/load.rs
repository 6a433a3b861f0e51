//! Programs of every release that allocate and collect as fast as they can: no reading that is off is shown as good.
use memtrace::event::GoCounters;
use memtrace::goruntime::memory::{heap, read_counters};
use memtrace::goruntime::{Runtime, RuntimeError, Sample, find};
use memtrace_tests::matrix::{RELEASES, built, run, start};
use memtrace_tests::wait_until;
use std::collections::BTreeMap;
use std::process::Command;

const SAMPLES: u32 = 2000;
const WORKERS: u64 = 4;

/// The heap's parts as the runtime's six words have them, and HeapSys.
fn parts(counters: &GoCounters) -> [u64; 4] {
    let heap = heap(counters);
    [heap.inuse_bytes, heap.idle_bytes, heap.released_bytes, heap.inuse_bytes + heap.idle_bytes]
}

/// How far outside what was true before and after.
fn outside(value: u64, before: u64, after: u64) -> u64 {
    before.min(after).saturating_sub(value).max(value.saturating_sub(before.max(after)))
}

/// What of the sample cannot be, given the words read before and after it. Each word is exact in itself.
fn off(sample: &Sample, before: &GoCounters, after: &GoCounters) -> Vec<String> {
    let m = &sample.memstats;
    let permitted = m.heap_sys / 100;
    let mut wrong = Vec::new();
    let mut check = |what: &str, value: u64, bound: u64| {
        if value > bound {
            wrong.push(format!("{what}: {value} of {bound}"));
        }
    };
    check("skew", sample.skew_bytes, permitted);
    // Only grow.
    let total = m.total_alloc - (m.heap_alloc - sample.heap_alloc_uncorrected);
    check("TotalAlloc", outside(total, before.total_alloc_bytes, after.total_alloc_bytes), sample.skew_bytes);
    let freed = m.total_alloc - m.heap_alloc;
    check("freed", outside(freed, before.total_free_bytes, after.total_free_bytes), sample.skew_bytes);
    // May have gone there and back.
    let traffic = after.total_alloc_bytes - before.total_alloc_bytes + after.total_free_bytes - before.total_free_bytes;
    let (before, after) = (parts(before), parts(after));
    let found = [m.heap_inuse, m.heap_idle, m.heap_released, m.heap_sys];
    for (index, what) in ["HeapInuse", "HeapIdle", "HeapReleased", "HeapSys"].into_iter().enumerate() {
        check(what, outside(found[index], before[index], after[index]), permitted + traffic);
    }
    check("goroutines", sample.num_goroutine.abs_diff(WORKERS + 1), 0);
    wrong
}

#[test]
fn no_sample_of_a_program_under_full_load_is_off() {
    let mut wrong = Vec::new();
    for release in RELEASES {
        let mut program = start(&mut Command::new(built(release, "stripped")));
        let pid = program.pid();
        run(&mut program, &format!("load {WORKERS}"));
        let found = find(pid).expect("a Go program");
        let address = found.located.as_ref().expect("located").counters_address();
        let runtime = Runtime::attach_to(pid, &found).expect("a runtime");
        let mut sampler = runtime.sampler().expect("a sampler");
        wait_until("some collections", || sampler.sample(&runtime).is_ok_and(|s| s.memstats.num_gc > 5).then_some(()));
        let mut refused: BTreeMap<String, u32> = BTreeMap::new();
        let (mut good, mut torn, mut moving) = (0, 0, 0);
        for _ in 0..SAMPLES {
            let before = read_counters(pid, address).expect("counters");
            let sample = sampler.sample(&runtime);
            let after = read_counters(pid, address).expect("counters");
            match sample {
                Ok(sample) => {
                    good += 1;
                    torn += u32::from(sample.skew_bytes > 0);
                    moving += u32::from(sample.moving_bytes > 0);
                    wrong.extend(off(&sample, &before, &after).into_iter().map(|what| format!("{release}: {what}")));
                }
                Err(RuntimeError::Implausible(why)) => *refused.entry(why).or_default() += 1,
                Err(why) => panic!("{release}: {why}"),
            }
        }
        println!("{release}: {good} good, {torn} of them torn, {moving} amid a system call; refused: {refused:?}");
        assert!(good >= SAMPLES / 100 * 99, "{release}: {good} good; refused: {refused:?}");
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
