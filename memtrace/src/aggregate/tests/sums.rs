//! What the kernel sums is what would have come of the same calls told one by one.
use super::*;
use crate::decode::Decoder;
use bytemuck::{Zeroable as _, bytes_of};
use memtrace_common::UNKNOWN;
use memtrace_common::effect::{Drops, Seen, growth};
use memtrace_common::header::{Header, flags};
use memtrace_common::kind;
use memtrace_common::records::{self, AdviseRecord, MapRecord, map_op};
use memtrace_common::sums::{Ends, Sums, Told};
use proptest::collection::vec;
use proptest::prelude::*;

const SHIFT: u32 = 12;
const TARGET: TargetId = 1;

#[derive(Clone, Copy, Debug)]
enum Of {
    Advice(i32),
    Map { op: u32, map_flags: u32, new_length: u64 },
}

/// A call as the probes see it: of what kind, with which header's flags.
fn seen_call() -> impl Strategy<Value = (Of, u32, records::Call)> {
    let pages = || prop_oneof![4 => 0..64_u64, 1 => Just(UNKNOWN)];
    let advice = prop_oneof![Just(4), Just(8), Just(14), Just(15), Just(25)].prop_map(Of::Advice);
    let map = (1..=4_u32, prop_oneof![Just(0x22_u32), Just(0x32)], 0..64_u64)
        .prop_map(|(op, map_flags, pages)| Of::Map { op, map_flags, new_length: pages << SHIFT });
    let result = prop_oneof![3 => Just(0_i64), 1 => Just(-12), 1 => (0..64_i64).prop_map(|pages| pages << SHIFT)];
    let bits = prop_oneof![Just(0), Just(flags::RSS), Just(flags::RSS | flags::CONCURRENT)];
    let of = prop_oneof![advice, map];
    (of, bits, result, 0..64_u64, 0..64_u64, (0..100_u64, 0..100_u64), (pages(), pages()), 0..1_u64 << 40).prop_map(
        |(of, bits, result, address, length, (before, after), (resident, freed), duration_ns)| {
            let call = records::Call {
                address: address << SHIFT,
                length: length << SHIFT,
                result,
                duration_ns,
                rss_before_pages: before,
                rss_after_pages: after,
                resident_pages: resident,
                freed_pages: freed,
                ..records::Call::zeroed()
            };
            (of, bits, call)
        },
    )
}

/// As `memtrace-ebpf` does.
fn sum(sums: &mut Sums, of: Of, bits: u32, call: &records::Call) {
    let add = |to: &mut u64, n: u64| *to += n;
    let seen = Seen {
        flags: bits,
        rss_before_pages: call.rss_before_pages,
        rss_after_pages: call.rss_after_pages,
        resident_pages: call.resident_pages,
    };
    let ends = Ends {
        seen,
        result: call.result,
        length_bytes: call.length,
        freed_pages: call.freed_pages,
        duration_ns: call.duration_ns,
        page_shift: SHIFT,
    };
    match of {
        Of::Advice(value) => {
            let told = Told::of(&ends, Drops::of_advice(value, call.result == 0), advice::unmaps(value));
            sums.advised(value).expect("a row").apply(&told, add);
        }
        Of::Map { op: map_op::MUNMAP, .. } => {
            sums.munmap.apply(&Told::of(&ends, Drops::of_map(map_op::MUNMAP, call.result, 0), true), add);
        }
        Of::Map { op, new_length, .. } => {
            let (failed, delta) = growth(op, call.result, call.address, call.length, new_length);
            let row = [&mut sums.mmap, &mut sums.mremap, &mut sums.brk];
            row[[map_op::MMAP, map_op::MREMAP, map_op::BRK].iter().position(|o| *o == op).expect("an op")]
                .apply(failed, delta, add);
        }
    }
}

fn header(kind: u16, size: usize, flags: u32) -> Header {
    Header { t_ns: 7, tgid: 10, tid: 11, target: TARGET, cpu: 1, kind, flags, size: size as u32 }
}

fn told(of: Of, bits: u32, call: records::Call) -> Event {
    let decoder = Decoder { page_bytes: PAGE };
    match of {
        Of::Advice(advice) => {
            let header = header(kind::ADVISE, size_of::<AdviseRecord>(), bits);
            decoder.decode(bytes_of(&AdviseRecord { header, call, advice, process: 0 }))
        }
        Of::Map { op, map_flags, new_length } => {
            let header = header(kind::MAP, size_of::<MapRecord>(), bits);
            decoder.decode(bytes_of(&MapRecord { header, call, new_length, op, prot: 3, map_flags, pad: 0 }))
        }
    }
    .expect("a record")
}

/// What does not say when, or how long: of these the kernel keeps less.
fn figures(aggregator: &mut Aggregator) -> ProcessSnapshot {
    let mut process = aggregator.finish(9, Account::default()).processes.swap_remove(0);
    let longest = |call: &mut CallSnapshot| {
        call.latency = call.latency.map(|of| LatencySnapshot { p50_ns: 0, p90_ns: 0, p99_ns: 0, max_ns: of.max_ns });
    };
    process.advise.iter_mut().map(|(_, call)| call).chain([&mut process.munmap]).for_each(longest);
    process.notes.retain(|note| !note.starts_with("latencies"));
    ProcessSnapshot { rss: SpanSnapshot::default(), heap: None, gap_bytes: None, retained_idle_bytes: None, ..process }
}

proptest! {
    #[test]
    fn sums_are_what_the_calls_come_to(calls in vec(seen_call(), 0..60), told_too in 0..60_usize) {
        let mut sums = Sums::zeroed();
        let (mut one_by_one, mut summed) = (aggregator(4), aggregator(4));
        [&mut one_by_one, &mut summed].into_iter().for_each(|of| of.apply(&oom(TARGET, 1)));
        for (number, (of, bits, call)) in calls.into_iter().enumerate() {
            one_by_one.apply(&told(of, bits, call));
            // Some of each: whose calls are summed may have been told before.
            if number < told_too { summed.apply(&told(of, bits, call)) } else { sum(&mut sums, of, bits, &call) }
            // Read now and then: what was read before is not added again.
            if number % 7 == 0 {
                summed.apply(&observed(ProcessSample { sums: Some(Box::new(sums)), ..sample(TARGET, 8) }));
            }
        }
        summed.apply(&observed(ProcessSample { sums: Some(Box::new(sums)), ..sample(TARGET, 8) }));
        prop_assert_eq!(figures(&mut summed), figures(&mut one_by_one));
    }

    #[test]
    fn a_latency_is_right_within_a_factor_of_two(durations in vec(1..1_u64 << 36, 1..200)) {
        let mut sums = Sums::zeroed();
        for duration_ns in &durations {
            let call = records::Call { duration_ns: *duration_ns, ..records::Call::zeroed() };
            sum(&mut sums, Of::Advice(advice::DONTNEED), flags::RSS, &call);
        }
        let mut of = aggregator(4);
        of.apply(&oom(TARGET, 1));
        of.apply(&observed(ProcessSample { sums: Some(Box::new(sums)), ..sample(TARGET, 8) }));
        let snapshot = of.finish(9, Account::default()).processes.swap_remove(0);
        let got = snapshot.advise[0].1.latency.expect("a latency");
        let mut sorted = durations;
        sorted.sort_unstable();
        let exact = |q: f64| sorted[((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
        // Below 256 ns, and above 2^31 ns, it is not told apart.
        let clear = |ns: u64| (256..1 << 31).contains(&ns);
        for (got, exact) in [(got.p50_ns, exact(0.5)), (got.p90_ns, exact(0.9)), (got.p99_ns, exact(0.99))] {
            prop_assert!(!clear(exact) || got <= 2 * exact && exact <= 2 * got.max(1), "{got} for {exact}");
        }
        prop_assert_eq!(got.max_ns, sorted[sorted.len() - 1]);
    }
}

#[test]
fn each_advice_that_is_summed_has_its_row() {
    let mut sums = Sums::zeroed();
    for (row, value) in memtrace_common::sums::ADVICE.into_iter().enumerate() {
        sums.advised(value).expect("a row").calls = row as u64 + 1;
        assert_eq!(sums.advise[row].calls, row as u64 + 1, "{value}");
    }
    assert!(sums.advised(advice::REMOVE).is_none(), "what is rare is told");
}
