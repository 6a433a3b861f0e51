//! What the black box may take of memory, filled with the worst that processes can do; counted by the allocator itself.
use memtrace::aggregate::ProcessInfo;
use memtrace::aggregate::waterfall::{Anonymous, Bucket, Waterfall};
use memtrace::config::file::BlackBox as Settings;
use memtrace::dossier::{BlackBox, BlackBoxConfig, Trigger};
use memtrace::enrich::{Closeup, Site};
use memtrace::event::{AdviseEvent, Call, Event, GoCounters, Meta, PressureEvent, PressureTold, PressureWhat};
use memtrace::timeline::{Point, Signal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PROCESSES: u32 = 500;
const KIB: usize = 1 << 10;
/// As docs/output.md says: beside the timeline, close looks and the ledger.
const BESIDE: usize = 192 * KIB;
const SECOND_NS: u64 = 1_000_000_000;
/// Of a site, as `Closeup` cuts it.
const NAME: usize = 256;
/// Calls of one kind from which on their latencies are a histogram.
const CALLS: u64 = 40;

/// Counts what is allocated and not yet freed.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is done by the system's allocator; the counter changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `at` came from the same allocator, with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// No value is like the one before: each takes the most bytes there are.
fn worst(t_ns: u64) -> Point {
    let mut point = Point::at(t_ns);
    for (at, signal) in Signal::ALL.iter().enumerate() {
        point.set(*signal, (t_ns ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    point
}

fn closeup(target: u32, t_ns: u64) -> Closeup {
    let sites = |n: usize| (0..n).map(|n| Site { name: format!("{n:0NAME$}"), bytes: 1, count: 1 }).collect::<Vec<_>>();
    let anonymous =
        |n: u64| Anonymous { range: n..n + 1, name: "n".repeat(80), bytes: 1, creator: Some("c".repeat(NAME)) };
    let names = include_str!("../../docs/output.md").split(['`', ',', '\n', '.']).map(str::trim);
    let mut buckets: Vec<_> = names.filter_map(|name| Bucket::named(name, 1)).collect();
    buckets.iter_mut().for_each(|bucket| bucket.advice = Some("a".repeat(400)));
    buckets.truncate(40);
    assert!(buckets.len() > 30, "{}", buckets.len());
    let waterfall = Waterfall {
        rss_bytes: 1,
        buckets,
        unknown_bytes: 0,
        swapped_bytes: 0,
        anonymous: (0..8).map(anonymous).collect(),
    };
    Closeup { target, t_ns, took_ns: 1, heap: Some(sites(24)), goroutines: Some(sites(24)), waterfall: Some(waterfall) }
}

fn call(target: u32, advice: i32, n: u64) -> Event {
    let meta = Meta { t_ns: n, tgid: target, tid: target, target, cpu: 0 };
    let call = Call {
        address: 0,
        length_bytes: 4096,
        result: 0,
        duration_ns: 1 << (n % 40),
        rss_before_bytes: Some(8192),
        rss_after_bytes: Some(4096),
        resident_bytes: Some(4096),
        unmapped_bytes: Some(4096),
        freed_bytes: None,
        approximate: false,
        go: None,
        stack_id: None,
    };
    Event::Advise(AdviseEvent { meta, call, advice, process_madvise: false })
}

/// Of a cgroup of its own, each told anew.
fn pressure(target: u32, cgroup: &Arc<Path>, t_ns: u64) -> Event {
    let meta = Meta { t_ns, tgid: target, tid: 0, target, cpu: 0 };
    let told = PressureTold { t_ns, cgroup: Some(cgroup.clone()), what: PressureWhat::OutOfMemory, times: 1 };
    Event::Pressure(Box::new(PressureEvent { meta, told: Arc::new(told), go: Some(GO) }))
}

const GO: GoCounters = GoCounters {
    heap_inuse_bytes: 1,
    heap_released_bytes: 1,
    heap_free_bytes: 1,
    total_alloc_bytes: 1,
    total_free_bytes: 1,
    mapped_ready_bytes: 1,
};

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("pages") * 4096
}

#[test]
fn five_hundred_processes_at_their_worst_take_no_more_than_is_documented() {
    let settings = Settings::default();
    let (timeline, max_processes, triggers) = (settings.timeline(), settings.max_processes, Trigger::usual());
    let fill = |processes: std::ops::RangeInclusive<u32>| {
        let config = BlackBoxConfig {
            start_ns: 0,
            timeline,
            max_processes,
            max_rss_bytes: None,
            triggers: triggers.clone(),
            headroom_percent: 5,
        };
        let mut black_box = BlackBox::new(config);
        for target in processes {
            let (comm, exe) = (Some("c".repeat(15)), Some("e".repeat(4095)));
            black_box.register(ProcessInfo { target, pid: target, comm, exe, ..ProcessInfo::default() });
            for tick in 1..1300 {
                black_box.point(target, worst(tick * SECOND_NS * 3));
            }
            for (advice, n) in [4, 8, 14].into_iter().flat_map(|advice| (0..CALLS).map(move |n| (advice, n))) {
                black_box.event(&call(target, advice, n));
            }
            let cgroup = Arc::from(Path::new(&format!("/{target:0NAME$}")));
            for n in 0..100 {
                black_box.event(&pressure(target, &cgroup, n));
            }
            [1, 2].into_iter().for_each(|t_ns| black_box.closeup(closeup(target, t_ns)));
        }
        black_box
    };
    let of_one = timeline.max_bytes + BESIDE;
    let before = ALLOCATED.load(Relaxed);
    let one = fill(1..=1);
    let taken = ALLOCATED.load(Relaxed) - before;
    assert!((timeline.max_bytes * 3 / 4..=of_one).contains(&taken), "one: {} KiB", taken / KIB);
    drop(one);
    let (before, resident) = (ALLOCATED.load(Relaxed), resident_bytes());
    let black_box = fill(1..=PROCESSES);
    assert_eq!(black_box.watched(), PROCESSES as usize);
    let taken = ALLOCATED.load(Relaxed) - before;
    let grown = resident_bytes().saturating_sub(resident);
    println!("one: {} KiB of {}, resident {} MiB", taken / PROCESSES as usize / KIB, of_one / KIB, grown >> 20);
    assert!(taken <= of_one * PROCESSES as usize, "all: {} KiB a process", taken / PROCESSES as usize / KIB);
    assert!(grown <= of_one * PROCESSES as usize, "resident: {} KiB a process", grown / PROCESSES as usize / KIB);
}
