//! Programs that are killed: what the kernel walked of them on their way out, against what was read of them at rest.
use crate::child::Child;
use crate::matrix::built;
use crate::procfs::process_state;
use crate::wait::wait_until;
use crate::words::Words;
use memtrace::event::{Extent, Stopped, WalkEnd};
use memtrace::goruntime::Runtime;
use memtrace_common::records::walk::{RUN, WALK_BUCKETS, WALK_GOROUTINES};
use std::path::Path;
use std::process::Command;

/// Of the workload `many` (tests/workloads/many), with that many buckets and goroutines of its own.
pub fn many(buckets: u64, goroutines: u64) -> Child {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/workloads/many");
    let mut program = Child::start(Command::new(path).args([buckets, goroutines].map(|count| count.to_string())));
    assert_eq!(program.line().as_deref(), Some("ready"));
    program
}

/// A program with a known heap profile and goroutines of many kinds; what it writes of both itself is thrown away.
pub fn profiled(release: &str) -> Child {
    let mut program = Child::start(Command::new(built(release, "profiled")).args(["/dev/null"; 2]));
    assert!(program.line().is_some(), "{release}: the number of its goroutines");
    program
}

/// A Go program is stopped, read, and killed. Every stack, byte and count of the heap profile and every kind of goroutine
/// must be what was read, or of what was not walked none.
#[track_caller]
pub fn walked_as_read(mut program: Child) -> WalkEnd {
    let pid = program.pid();
    program.signal(libc::SIGSTOP);
    wait_until("the program to stop", || (process_state(pid) == Some('T')).then_some(()));
    let mut words = Words::start();
    let located = words.observe(pid);
    let runtime = Runtime::attach(pid).expect("a runtime");
    let (heap, goroutines) = (runtime.heap_profile().expect("a profile"), runtime.goroutines().expect("goroutines"));
    program.signal(libc::SIGKILL);
    let walked = words.walked(pid);
    program.end();
    let end = *walked.end().expect("an end");
    let (found, read) = (walked.heap(&located.layout).expect("a profile"), heap.records.len() as u64);
    assert_eq!(end.buckets.walked, found.records.len() as u64);
    assert_eq!(found.rate_bytes, heap.rate_bytes);
    // The newest are first.
    assert!(found.records[..] == heap.records[..found.records.len()], "{found:#?} are not {heap:#?}");
    match end.buckets.stopped {
        Stopped::End => assert_eq!((end.buckets.walked, end.buckets.of), (read, Some(read))),
        Stopped::Count => assert_eq!((end.buckets.walked, end.buckets.of), (WALK_BUCKETS, None)),
        _ => assert!(end.buckets.walked < read && end.buckets.of.is_none(), "{end:?}"),
    }
    let there: u64 = goroutines.kinds.values().map(|of| of.count).sum::<u64>() + goroutines.dead + goroutines.damaged;
    let found = walked.goroutines().expect("goroutines");
    let Extent { walked, of, one_in, unreadable, stopped } = end.goroutines;
    assert_eq!((of, one_in, unreadable), (Some(there), there.div_ceil(WALK_GOROUTINES), 0), "{end:?}");
    match stopped {
        Stopped::End => assert_eq!((walked, &found), (there, &goroutines)),
        Stopped::Count => assert_eq!(walked, runs_of(there, one_in), "{end:?}"),
        _ => assert!(walked < there, "{end:?}"),
    }
    end
}

/// Goroutines in every so many-th run.
fn runs_of(listed: u64, one_in: u64) -> u64 {
    let starts = (0..listed).step_by(RUN * one_in as usize);
    starts.map(|start| (listed - start).min(RUN as u64)).sum()
}
