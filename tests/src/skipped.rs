//! Probes that the kernel did not start: preemptible kernels (7.x) start none on a CPU where they are inside bpf() themselves.
use std::fmt::Debug;

/// A run gives its result, what of it is not as it should be, and how many calls and page faults memtrace itself says that it
/// was not told of: only a run with some of these may be wrong, and is done again.
#[track_caller]
pub fn unless_skipped<T: Debug>(mut run: impl FnMut() -> (T, Vec<String>, u64)) -> T {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let (result, found, missing) = run();
        if found.is_empty() {
            return result;
        }
        assert_ne!(missing, 0, "\n  {}\nin {result:#?}", found.join("\n  "));
        eprintln!("once more: the kernel started no probe for {missing} calls and page faults: {}", found.join("; "));
    }
    panic!("the kernel skips probes in every run");
}
