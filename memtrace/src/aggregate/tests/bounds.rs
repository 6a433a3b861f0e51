//! Memory, folding, and what must not depend on arrival.
use super::*;

#[test]
fn too_many_processes_fold_the_quietest_exited_and_lose_no_byte() {
    let mut a = aggregator(4);
    for target in 1..=3 {
        a.apply(&advise(target, u64::from(target), advice::DONTNEED, call(1, 1)));
        a.apply(&observed(ProcessSample { faults: Some(2), refaults: Some(refaults(1)), ..sample(target, 9) }));
        a.apply(&exit(target, u64::from(20 - target), 9));
    }
    a.apply(&oom(2, 2));
    for target in 4..=6 {
        a.apply(&advise(target, 30, advice::DONTNEED, call(1, 1)));
    }
    let snapshot = a.finish(40, Account::default());
    assert_eq!(a.process_count(), 4);
    let targets: Vec<_> = snapshot.processes.iter().map(|p| (p.target, p.processes)).collect();
    assert_eq!(targets, [(1, 1), (4, 1), (5, 1), (6, 1), (0, 2)]);
    let others = snapshot.processes.last().unwrap();
    assert_eq!((others.pid, others.comm.as_deref(), others.faults), (None, Some("(others)"), Some(4)));
    assert_eq!((others.returned_bytes, others.refaulted_bytes), (Some(2 * PAGE), Some(2 * PAGE)));
    assert!(others.notes[0].contains("1 of the 2 folded processes were OOM-killed"), "{:?}", others.notes);
    assert!(snapshot.notes[0].starts_with("2 exited processes are shown together"), "{:?}", snapshot.notes);
    let interval = a.tick(41, Account::default());
    let returned: u64 = interval.processes.iter().filter_map(|p| p.returned_bytes).sum();
    assert_eq!(returned, 6 * PAGE);
}

#[test]
fn living_processes_are_never_folded_and_the_overflow_is_counted() {
    let mut a = aggregator(2);
    for target in 1..=4 {
        a.apply(&advise(target, 1, advice::DONTNEED, call(1, 1)));
    }
    let snapshot = a.finish(2, Account::default());
    let returned: u64 = snapshot.processes.iter().filter_map(|p| p.returned_bytes).sum();
    assert_eq!((snapshot.processes.len(), returned), (3, 4 * PAGE));
    assert!(snapshot.notes[0].starts_with("2 events of processes beyond the first 2"), "{:?}", snapshot.notes);
}

#[test]
fn a_forgotten_target_leaves_nothing() {
    let mut a = apply_all(&[advise(1, 1, advice::DONTNEED, call(1, 1))]);
    a.forget(1);
    a.apply(&observed(ProcessSample { faults: Some(1), ..sample(1, 2) }));
    assert!(a.finish(3, Account::default()).processes.is_empty());
}

#[test]
fn hostile_advice_values_cannot_grow_a_process() {
    let mut a = aggregator(4);
    (0..10_000).for_each(|n| a.apply(&advise(1, 1, 1000 + n, call(1, 0))));
    let p = a.finish(2, Account::default()).processes.remove(0);
    assert!(p.advise.len() <= 41, "{}", p.advise.len());
    assert_eq!(p.advise.iter().map(|(_, call)| call.calls).sum::<u64>(), 10_000);
    assert!(size_of::<Process>() <= 2560, "{}: update the module documentation", size_of::<Process>());
}

#[test]
fn an_exec_that_is_reported_late_does_not_wipe_the_new_heap() {
    let heap = GoHeap { inuse_bytes: 9, idle_bytes: 4, released_bytes: 1 };
    let seen = observed(ProcessSample { go: Some(heap), ..sample(1, 20) });
    let exec = |t_ns| task(1, t_ns, TaskWhat::Exec { rss_bytes: None }, "app");
    assert!(one(&[seen.clone(), exec(10)]).heap.is_some());
    assert!(one(&[seen, exec(30)]).heap.is_none());
}
