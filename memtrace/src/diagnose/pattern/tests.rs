use super::*;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 1000;
const STEPS: u64 = 20;

/// MiB of each signal that is one of bytes; step 0 to `STEPS`.
fn line(at: impl Fn(f64) -> Vec<(Signal, f64)>) -> Vec<Point> {
    let point = |step: u64| {
        let mut point = Point::at(step * 1_000_000_000).with(Signal::Limit, LIMIT * MIB);
        for (signal, value) in at(step as f64 / STEPS as f64) {
            let unit = if signal.name().ends_with("_bytes") { MIB as f64 } else { 1.0 };
            point.set(signal, (value * unit) as u64);
        }
        point
    };
    (0..=STEPS).map(point).collect()
}

fn case(points: &[Point]) -> Case<'_> {
    Case {
        points,
        cause: Cause::CgroupOom,
        address_space_limit_bytes: None,
        t_ns: points.last().map_or(0, |point| point.t_ns),
        is_go: true,
        go_version: None,
        heap: &[],
        goroutines: &[],
        mappings: &[],
        buckets: &[],
    }
}

/// A Go process: live and allocated heap, used spans, idle, stacks, other anonymous memory; collections so far.
fn go(live: f64, alloc: f64, inuse: f64, idle: f64, stacks: f64, beyond: f64, cycles: f64) -> Vec<(Signal, f64)> {
    let ready = inuse + idle + stacks;
    vec![
        (Signal::HeapLive, live),
        (Signal::HeapAlloc, alloc),
        (Signal::HeapInuse, inuse),
        (Signal::HeapIdle, idle),
        (Signal::HeapReleased, 0.0),
        (Signal::StackInuse, stacks),
        (Signal::MappedReady, ready),
        (Signal::RssAnon, ready + beyond),
        (Signal::CgroupAnon, ready + beyond),
        (Signal::Charge, ready + beyond),
        (Signal::GcCycles, cycles),
        (Signal::Goroutines, 10.0),
        (Signal::OthersRss, 0.0),
    ]
}

#[track_caller]
fn told(case: &Case<'_>, expected: Pattern) {
    let verdict = verdict(case);
    assert_eq!(verdict.pattern, expected, "{verdict:#?}");
    assert!(!verdict.evidence.is_empty() && !verdict.advice.is_empty(), "{verdict:#?}");
}

#[test]
fn live_that_grows_over_collections_is_a_leak() {
    let points = line(|x| go(600.0 * x, 980.0 * x, 985.0 * x, 0.0, 1.0, 0.0, 1.0 + 9.0 * x));
    let site = Growth {
        name: "main.leak main.go:7".to_owned(),
        before_bytes: 0,
        after_bytes: MIB,
        before_count: 0,
        after_count: 9,
    };
    let case = Case { heap: &[site], ..case(&points) };
    told(&case, Pattern::HeapLeak);
    assert!(verdict(&case).advice[0].contains("main.leak main.go:7"));
}

#[test]
fn flat_live_and_much_litter_is_a_burst() {
    let points = line(|x| go(200.0, 200.0 + 780.0 * x, 210.0 + 780.0 * x, 0.0, 1.0, 0.0, 4.0));
    told(&case(&points), Pattern::AllocationBurst);
    assert!(verdict(&case(&points)).advice[0].contains("GOMEMLIMIT to 90 %"));
}

#[test]
fn a_burst_after_loading_is_told_with_doubt() {
    // Live rose while it loaded; no collection has looked at what came after.
    let points = line(|x| {
        let loaded = (x * 4.0).min(1.0);
        go(250.0 * loaded, 260.0 * loaded + 700.0 * x, 270.0 * loaded + 705.0 * x, 0.0, 1.0, 0.0, 1.0 + 4.0 * loaded)
    });
    told(&case(&points), Pattern::AllocationBurst);
    let verdict = verdict(&case(&points));
    assert!(verdict.confidence_ratio < 0.6, "{verdict:#?}");
    assert_eq!(verdict.runner_up.map(|(pattern, _)| pattern), Some(Pattern::HeapLeak));
}

#[test]
fn without_collections_a_leak_is_not_ruled_out() {
    let points = line(|x| go(0.0, 970.0 * x, 980.0 * x, 0.0, 1.0, 0.0, 0.0));
    let verdict = verdict(&case(&points));
    assert!(verdict.confidence_ratio < 0.6, "{verdict:#?}");
    assert_eq!(verdict.runner_up.map(|(pattern, _)| pattern), Some(Pattern::HeapLeak));
}

#[test]
fn goroutines_with_their_stacks_are_a_leak_of_goroutines() {
    let points = line(|x| {
        let mut all = go(100.0 * x, 200.0 * x, 210.0 * x, 0.0, 700.0 * x, 0.0, 1.0 + 9.0 * x);
        all.push((Signal::Goroutines, 10.0 + 90_000.0 * x));
        all
    });
    told(&case(&points), Pattern::GoroutineLeak);
}

#[test]
fn collections_without_end_at_gomemlimit_are_a_spiral() {
    let points = line(|x| {
        let mut all = go(800.0 + 60.0 * x, 820.0 + 70.0 * x, 840.0 + 80.0 * x, 0.0, 1.0, 0.0, 10.0 + 900.0 * x);
        all.extend([(Signal::Gomemlimit, 900.0), (Signal::TotalAlloc, 1000.0 + 30_000.0 * x)]);
        all
    });
    told(&case(&points), Pattern::GcDeathSpiral);
}

#[test]
fn few_objects_in_many_spans_are_fragmentation() {
    let points = line(|x| go(100.0 + 200.0 * x, 110.0 + 210.0 * x, 760.0 + 220.0 * x, 0.0, 1.0, 0.0, 5.0 + x));
    told(&case(&points), Pattern::Fragmentation);
}

#[test]
fn idle_that_stays_is_retained() {
    told(&case(&line(|x| go(5.0, 5.0, 6.0, 600.0, 1.0, 380.0 * x, 5.0))), Pattern::RetainedIdle);
}

#[test]
fn what_go_gave_back_and_huge_pages_hold_is_reinflation_and_without_huge_pages_laziness() {
    let points = line(|x| {
        let mut all = go(100.0, 110.0, 120.0, 0.0, 1.0, 600.0 + 250.0 * x, 5.0);
        all.push((Signal::HeapReleased, 700.0));
        all
    });
    for (bucket, pattern) in
        [("released_thp_reinflation", Pattern::ThpReinflation), ("released_lazy_free", Pattern::LazyFree)]
    {
        told(&Case { buckets: &[(bucket.to_owned(), 600 * MIB)], ..case(&points) }, pattern);
    }
    told(&case(&points), Pattern::OffHeap);
}

#[test]
fn anonymous_memory_beside_the_heap_is_off_heap_in_go_and_elsewhere() {
    told(&case(&line(|x| go(5.0, 9.0, 10.0, 1.0, 1.0, 970.0 * x, 3.0))), Pattern::OffHeap);
    let points = line(|x| vec![(Signal::RssAnon, 980.0 * x), (Signal::Charge, 980.0 * x)]);
    told(&Case { is_go: false, ..case(&points) }, Pattern::OffHeap);
}

#[test]
fn what_the_cgroup_is_charged_for_beside_processes_has_its_own_names() {
    for (signal, pattern) in [
        (Signal::CgroupShmem, Pattern::Shmem),
        (Signal::CgroupKernel, Pattern::KernelMemory),
        (Signal::CgroupFile, Pattern::PageCache),
        (Signal::OthersRss, Pattern::Neighbour),
    ] {
        let points = line(|x| {
            let mut all = go(5.0, 9.0, 10.0, 1.0, 1.0, 0.0, 3.0);
            all.extend([
                (Signal::CgroupInactiveFile, 0.0),
                (Signal::CgroupActiveFile, 0.0),
                (Signal::CgroupShmem, 0.0),
            ]);
            all.extend([(Signal::Charge, 980.0 * x), (Signal::CgroupAnon, 980.0 * x), (signal, 960.0 * x)]);
            all
        });
        told(&case(&points), pattern);
    }
}

#[test]
fn cache_that_can_be_dropped_kills_nobody() {
    let points = line(|x| {
        vec![
            (Signal::Charge, 980.0 * x),
            (Signal::CgroupFile, 900.0 * x),
            (Signal::CgroupInactiveFile, 900.0 * x),
            (Signal::CgroupActiveFile, 0.0),
        ]
    });
    told_unknown(&case(&points));
}

#[track_caller]
fn told_unknown(case: &Case<'_>) {
    let verdict = verdict(case);
    assert_eq!((verdict.pattern, verdict.confidence_ratio), (Pattern::Unknown, 0.0), "{verdict:#?}");
}

#[test]
fn steady_and_full_is_a_limit_too_small() {
    let points = line(|x| go(800.0, 850.0 + 20.0 * (x * 30.0).sin(), 900.0, 0.0, 10.0, 0.0, 5.0 + 40.0 * x));
    told(&case(&points), Pattern::LimitTooSmall);
}

/// All of what a limit had room for is in use for long, and the last step goes beyond it.
#[test]
fn a_last_step_out_of_a_steady_heap_is_no_leak() {
    let live = |x: f64| {
        if x < 0.2 {
            4000.0 * x
        } else if x < 1.0 {
            800.0 + 3.0 * (x * 50.0).sin()
        } else {
            920.0
        }
    };
    let points = line(|x| go(live(x), live(x) * 1.03, live(x) * 1.04, 0.0, 1.0, 0.0, (x * 90.0).floor()));
    told(&case(&points), Pattern::LimitTooSmall);
}

#[test]
fn the_machine_out_of_memory_is_said_by_the_kernel() {
    let verdict = verdict(&Case { cause: Cause::GlobalOom, ..case(&[]) });
    assert_eq!((verdict.pattern, verdict.confidence_ratio), (Pattern::NodeOom, 1.0));
}

#[test]
fn what_the_last_point_does_not_know_is_known_by_an_earlier_one() {
    let mut points = line(|x| go(600.0 * x, 980.0 * x, 985.0 * x, 0.0, 1.0, 0.0, 1.0 + 9.0 * x));
    let whole = verdict(&case(&points));
    let last = points.last_mut().unwrap();
    last.set(Signal::Charge, None);
    last.set(Signal::Limit, None);
    let cut = verdict(&case(&points));
    assert_eq!((whole.pattern, cut.pattern), (Pattern::HeapLeak, Pattern::HeapLeak));
    assert!(cut.confidence_ratio < whole.confidence_ratio && cut.confidence_ratio > 0.8 * whole.confidence_ratio);
}

#[test]
fn too_little_to_see_is_unknown() {
    let leak = line(|x| go(600.0 * x, 980.0 * x, 985.0 * x, 0.0, 1.0, 0.0, 1.0 + 9.0 * x));
    told_unknown(&case(&[]));
    told_unknown(&case(&leak[STEPS as usize - 1..]));
    // Killed by someone at half the limit.
    told_unknown(&Case { cause: Cause::Killed, ..case(&leak[..STEPS as usize / 2]) });
    // No limit.
    told_unknown(&case(&(0..9).map(|step| Point::at(step).with(Signal::RssAnon, step << 26)).collect::<Vec<_>>()));
    // In the kernel's account of v1 much is absent: absent is not 0, and nothing is made of it.
    let bare = line(|x| vec![(Signal::Charge, 990.0 * x)]);
    told_unknown(&case(&bare));
}

proptest! {
    #[test]
    fn any_points_have_a_verdict(
        rows in prop::collection::vec(prop::collection::vec(any::<Option<u64>>(), Signal::COUNT), 0..12),
        is_go in any::<bool>(),
        bucket in any::<u64>(),
    ) {
        let points: Vec<Point> = rows.iter().enumerate().map(|(at, row)| {
            let mut point = Point::at(at as u64);
            Signal::ALL.iter().zip(row).for_each(|(signal, value)| point.set(*signal, *value));
            point
        }).collect();
        let buckets = [("released_thp_reinflation".to_owned(), bucket), ("released_unknown_cause".to_owned(), bucket)];
        let verdict = verdict(&Case { is_go, buckets: &buckets, ..case(&points) });
        prop_assert!((0.0..=1.0).contains(&verdict.confidence_ratio));
        prop_assert!(verdict.runner_up.is_none_or(|(pattern, score)| pattern != verdict.pattern && (0.0..=1.0).contains(&score)));
    }

    /// More of one part never turns the verdict away from it.
    #[test]
    fn more_of_a_leak_is_no_less_a_leak(more in 0.0..400.0_f64) {
        let points = line(|x| go(400.0 * x + more * x, 500.0 * x + more * x, 510.0 * x + more * x, 0.0, 1.0, 60.0, 1.0 + 9.0 * x));
        prop_assert_eq!(verdict(&case(&points)).pattern, Pattern::HeapLeak);
    }
}
