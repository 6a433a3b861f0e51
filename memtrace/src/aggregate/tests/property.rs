//! What holds whatever the events are.
use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// What happens in one process at one time.
fn happening() -> impl Strategy<Value = Event> {
    let call =
        (0..64_u64, 0..64_u64, prop_oneof![Just(0), Just(-22)], 0..1_u64 << 40, any::<bool>(), any::<Option<u32>>());
    let call = call.prop_map(|(pages, unmapped, result, duration_ns, approximate, rss)| Call {
        result,
        duration_ns,
        approximate,
        unmapped_bytes: (unmapped < 60).then_some(unmapped * PAGE),
        resident_bytes: (unmapped % 2 == 0).then_some(pages * PAGE),
        freed_bytes: (pages % 5 == 0).then_some(unmapped * PAGE),
        rss_after_bytes: rss.map(u64::from),
        ..super::call(pages, 0)
    });
    let op = prop_oneof![Just(MapOp::Mmap), Just(MapOp::Munmap), Just(MapOp::Mremap), Just(MapOp::Brk)];
    let t_ns = 0..1000_u64;
    prop_oneof![
        (t_ns.clone(), 0..30_i32, call.clone()).prop_map(|(t_ns, advice, call)| advise(0, t_ns, advice, call)),
        (t_ns.clone(), op, call).prop_map(|(t_ns, op, call)| map(0, t_ns, op, call)),
        t_ns.clone().prop_map(|t_ns| oom(0, t_ns)),
        (t_ns.clone(), 0..512).prop_map(|(t_ns, status)| exit(0, t_ns, status)),
        t_ns.clone().prop_map(|t_ns| task(0, t_ns, TaskWhat::Exec { rss_bytes: Some(t_ns) }, "next")),
        (t_ns, 0..100_u64).prop_map(|(t_ns, pages)| {
            let faults = Some(pages * 2);
            observed(ProcessSample {
                rss_bytes: Some(pages),
                faults,
                refaults: Some(refaults(pages)),
                ..sample(0, t_ns)
            })
        }),
    ]
}

fn of(target: TargetId, mut event: Event) -> Event {
    match &mut event {
        Event::Advise(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Map(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Oom(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Reclaim(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Task(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Words(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Fatal(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Pressure(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Walk(e) => e.meta = meta(target, e.meta.t_ns),
        Event::Sample(e) => e.target = target,
    }
    event
}

/// A list for each process, in its own order.
fn processes() -> impl Strategy<Value = Vec<Vec<Event>>> {
    let own = |(target, events): (usize, Vec<Event>)| {
        let target = target as TargetId + 1;
        // Known before its first sample.
        let first = map(target, 0, MapOp::Mmap, call(1, 0));
        [first].into_iter().chain(events.into_iter().map(|event| of(target, event))).collect()
    };
    vec(vec(happening(), 0..40), 1..6).prop_map(move |lists| lists.into_iter().enumerate().map(own).collect())
}

/// Each takes the next event of one of the lists.
fn interleaved(lists: &[Vec<Event>], choices: &[usize]) -> Vec<Event> {
    let mut left: Vec<_> = lists.iter().map(|list| list.iter().cloned()).collect();
    let mut choices = choices.iter().cycle();
    let mut mixed = Vec::new();
    while !left.is_empty() {
        let at = choices.next().map_or(0, |choice| choice % left.len());
        match left[at].next() {
            Some(event) => mixed.push(event),
            None => drop(left.swap_remove(at)),
        }
    }
    mixed
}

proptest! {
    #[test]
    fn order_across_processes_does_not_matter(lists in processes(), choices in vec(any::<usize>(), 1..200)) {
        let (mut one_by_one, mut mixed) = (aggregator(4096), aggregator(4096));
        lists.concat().iter().for_each(|event| one_by_one.apply(event));
        interleaved(&lists, &choices).iter().for_each(|event| mixed.apply(event));
        prop_assert_eq!(mixed.tick(500, Account::default()), one_by_one.tick(500, Account::default()));
        prop_assert_eq!(mixed.finish(1000, Account::default()), one_by_one.finish(1000, Account::default()));
    }

    #[test]
    fn intervals_do_not_change_the_whole(lists in processes(), every in 1..20_usize) {
        let (mut whole, mut cut) = (aggregator(4096), aggregator(4096));
        for (number, event) in lists.concat().iter().enumerate() {
            whole.apply(event);
            cut.apply(event);
            if number % every == 0 {
                cut.tick(number as u64, Account::default());
            }
        }
        prop_assert_eq!(cut.finish(1000, Account::default()), whole.finish(1000, Account::default()));
    }
}
