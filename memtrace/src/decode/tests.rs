use super::*;
use crate::event::{FatalWhat, MapOp, OomWhat, Stopped, TaskWhat, WalkPart};
use memtrace_common::advice;
use memtrace_common::header::flags;
use memtrace_common::records::walk::stop;
use memtrace_common::records::*;

const PAGE: u64 = 4096;
const DECODER: Decoder = Decoder { page_bytes: PAGE };

fn header(kind: u16, size: usize, flags: u32) -> Header {
    Header { t_ns: 7, tgid: 10, tid: 11, target: 3, cpu: 1, kind, flags, size: size as u32 }
}

fn call(length_pages: u64, before: u64, after: u64, resident: u64) -> Call {
    Call {
        address: 0x7000_0000_0000,
        length: length_pages * PAGE,
        result: 0,
        duration_ns: 900,
        rss_before_pages: before,
        rss_after_pages: after,
        resident_pages: resident,
        freed_pages: UNKNOWN,
        go: [1, 2, 3, 4, 5, 6],
        stack_id: -14,
    }
}

fn advise(flags: u32, advice: i32, call: Call) -> AdviseRecord {
    AdviseRecord { header: header(kind::ADVISE, size_of::<AdviseRecord>(), flags), call, advice, process: 0 }
}

fn map(flags: u32, op: u32, new_length: u64, call: Call) -> MapRecord {
    let header = header(kind::MAP, size_of::<MapRecord>(), flags);
    MapRecord { header, call, new_length, op, prot: 3, map_flags: 0x22, pad: 0 }
}

fn oom(op: u32) -> OomRecord {
    OomRecord {
        header: header(kind::OOM, size_of::<OomRecord>(), 0),
        allocator_tgid: 5,
        op,
        cgroup_v1_id: 77,
        cgroup_v2_id: UNKNOWN,
        total_vm_kb: UNKNOWN,
        anon_rss_kb: 4,
        file_rss_kb: UNKNOWN,
        shmem_rss_kb: 0,
        page_tables_kb: UNKNOWN,
        oom_score_adj: i64::MIN,
        go: [0; 6],
    }
}

fn reclaim(op: u32) -> ReclaimRecord {
    ReclaimRecord {
        header: header(kind::RECLAIM, size_of::<ReclaimRecord>(), 0),
        duration_ns: 5,
        reclaimed_pages: 2,
        cgroup_v1_id: UNKNOWN,
        cgroup_v2_id: 9,
        op,
        order: u32::MAX,
        go: [0; 6],
    }
}

fn task(op: u32, code: i64) -> TaskRecord {
    TaskRecord {
        header: header(kind::TASK, size_of::<TaskRecord>(), 0),
        start_boottime_ns: UNKNOWN,
        other_tgid: 99,
        op,
        code,
        rss_pages: 10,
        cgroup_v1_id: UNKNOWN,
        cgroup_v2_id: UNKNOWN,
        comm: *b"worker\0\0\0\0\0\0\0\0\0\0",
        go: [0; 6],
    }
}

fn unmapped(record: &AdviseRecord) -> (Option<u64>, bool) {
    match DECODER.decode(bytemuck::bytes_of(record)) {
        Ok(Event::Advise(event)) => (event.call.unmapped_bytes.map(|bytes| bytes / PAGE), event.call.approximate),
        other => panic!("{other:?}"),
    }
}

fn map_event(record: &MapRecord) -> crate::event::MapEvent {
    match DECODER.decode(bytemuck::bytes_of(record)) {
        Ok(Event::Map(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn unmapped_bytes_follow_the_rule_for_each_kind_of_knowledge() {
    const RSS: u32 = flags::RSS;
    const BUSY: u32 = flags::RSS | flags::CONCURRENT;
    let nomem = Call { result: -12, ..call(8, 100, 97, 8) };
    let cases = [
        ("alone", advise(RSS, advice::DONTNEED, call(8, 100, 92, 8)), (Some(8), false)),
        ("alone, half resident", advise(RSS, advice::DONTNEED, call(8, 100, 96, 4)), (Some(4), false)),
        ("growth is not a return", advise(RSS, advice::DONTNEED, call(8, 100, 120, 0)), (Some(0), false)),
        ("never more than asked", advise(RSS, advice::DONTNEED, call(8, 100, 50, UNKNOWN)), (Some(8), false)),
        ("busy, counted", advise(BUSY, advice::DONTNEED, call(8, 100, 150, 6)), (Some(6), false)),
        ("busy, locked, counted", advise(BUSY, advice::DONTNEED_LOCKED, call(8, 100, 1, 6)), (Some(6), false)),
        ("busy, not counted", advise(BUSY, advice::DONTNEED, call(8, 100, 97, UNKNOWN)), (Some(3), true)),
        ("busy, failed half-way", advise(BUSY, advice::DONTNEED, nomem), (Some(3), true)),
        ("alone, failed half-way", advise(RSS, advice::DONTNEED, nomem), (Some(3), false)),
        ("busy pageout is no promise", advise(BUSY, advice::PAGEOUT, call(8, 100, 97, 8)), (Some(3), true)),
        ("busy free", advise(BUSY, advice::FREE, call(8, 100, 90, 8)), (Some(0), false)),
        ("a fault half-way, and free", advise(RSS, advice::FREE, call(8, 100, 69, 8)), (Some(0), false)),
        ("busy hugepage", advise(BUSY, 14, call(8, 100, 90, 8)), (Some(0), false)),
        ("foreign", advise(RSS | flags::FOREIGN, advice::DONTNEED, call(8, 100, 92, 8)), (None, false)),
        ("no rss", advise(0, advice::DONTNEED, call(8, 100, 92, 8)), (None, false)),
        ("length 0", advise(BUSY, advice::DONTNEED, call(0, 100, 92, 0)), (Some(0), false)),
    ];
    for (name, record, expected) in cases {
        assert_eq!(unmapped(&record), expected, "{name}");
    }
}

#[test]
fn mmap_unmaps_only_where_it_is_to_map_over() {
    let over = |map_flags| MapRecord { map_flags, ..map(flags::RSS, map_op::MMAP, 0, call(40, 100, 69, UNKNOWN)) };
    assert_eq!(map_event(&over(0x22)).call.unmapped_bytes, Some(0), "a fault of another thread was half-way");
    assert_eq!(map_event(&over(0x32)).call.unmapped_bytes, Some(31 * PAGE));
}

#[test]
fn busy_munmap_counts_residents_only_when_it_succeeded() {
    let busy = flags::RSS | flags::CONCURRENT;
    let good = map_event(&map(busy, map_op::MUNMAP, 0, call(8, 100, 100, 5)));
    assert_eq!((good.call.unmapped_bytes, good.call.approximate), (Some(5 * PAGE), false));
    let bad = map_event(&map(busy, map_op::MUNMAP, 0, Call { result: -22, ..call(8, 100, 99, 5) }));
    assert_eq!((bad.call.unmapped_bytes, bad.call.approximate), (Some(PAGE), true));
}

#[test]
fn unknown_values_become_none() {
    let Ok(Event::Advise(event)) = DECODER.decode(bytemuck::bytes_of(&advise(0, 4, call(1, 1, 1, UNKNOWN)))) else {
        panic!("refused")
    };
    let c = event.call;
    assert_eq!((c.rss_before_bytes, c.rss_after_bytes, c.resident_bytes, c.freed_bytes), (None, None, None, None));
    assert_eq!((c.go, c.stack_id), (None, None));
    let Ok(Event::Oom(event)) = DECODER.decode(bytemuck::bytes_of(&oom(oom_op::VICTIM))) else { panic!("refused") };
    let OomWhat::Victim { total_vm_bytes, anon_rss_bytes, shmem_rss_bytes, oom_score_adj, .. } = event.what else {
        panic!("{event:?}")
    };
    assert_eq!((total_vm_bytes, anon_rss_bytes, shmem_rss_bytes, oom_score_adj), (None, Some(4096), Some(0), None));
}

#[test]
fn brk_is_bounded_by_its_own_shrinking() {
    let at = |result, old, before, after| {
        let c = Call { address: result as u64, length: 0, result, ..call(0, before, after, UNKNOWN) };
        map_event(&map(flags::RSS, map_op::BRK, old, c))
    };
    let shrunk = at(0x10000, 0x14000, 100, 90);
    assert_eq!(
        (shrunk.op, shrunk.brk_delta_bytes, shrunk.call.unmapped_bytes),
        (MapOp::Brk, Some(-0x4000), Some(0x4000))
    );
    let grown = at(0x14000, 0x10000, 100, 90);
    assert_eq!((grown.brk_delta_bytes, grown.call.unmapped_bytes), (Some(0x4000), Some(0)));
    assert_eq!(at(0x14000, 0, 100, 100).brk_delta_bytes, None);
}

#[test]
fn exit_and_kill_codes_are_c_ints() {
    let what = |op, code| match DECODER.decode(bytemuck::bytes_of(&task(op, code))) {
        Ok(Event::Task(event)) => event.what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(task_op::EXIT, 9), TaskWhat::Exit { status: 9, rss_bytes: Some(10 * PAGE) });
    assert_eq!(what(task_op::KILL, -6), TaskWhat::Kill { sender_tgid: 99, si_code: -6 });
}

fn every_valid_record() -> Vec<Vec<u8>> {
    let mut out = vec![bytemuck::bytes_of(&advise(flags::RSS, 4, call(1, 2, 1, 1))).to_vec()];
    out.extend((1..=4).map(|op| bytemuck::bytes_of(&map(0, op, 0, call(1, 2, 1, 1))).to_vec()));
    out.extend((1..=2).map(|op| bytemuck::bytes_of(&oom(op)).to_vec()));
    out.extend((1..=2).map(|op| bytemuck::bytes_of(&reclaim(op)).to_vec()));
    out.extend((1..=4).map(|op| bytemuck::bytes_of(&task(op, 0)).to_vec()));
    out.push(bytemuck::bytes_of(&fault()).to_vec());
    out.push(bytemuck::bytes_of(&words()).to_vec());
    out.extend((1..=3).map(|op| bytemuck::bytes_of(&fatal(op, 1, [0; 4])).to_vec()));
    out.push(bytemuck::bytes_of(&buckets(2)).to_vec());
    out.push(bytemuck::bytes_of(&goroutines(2)).to_vec());
    out.push(bytemuck::bytes_of(&walk_end(stop::END)).to_vec());
    out
}

fn fault() -> FaultRecord {
    let mut stats: memtrace_common::refault::FaultStats = bytemuck::Zeroable::zeroed();
    stats.faults = 100;
    stats.refaulted_pages = [3, 0, 0, 1];
    stats.log2_ns[20] = 4;
    stats.max_ns = 1_500_000;
    stats.untracked_pages = 2;
    FaultRecord { header: header(kind::FAULT, size_of::<FaultRecord>(), 0), stats }
}

/// Three ranges: read, not resident, and out of the room.
fn words() -> WordsRecord {
    let mut record: WordsRecord = bytemuck::Zeroable::zeroed();
    record.header = header(kind::WORDS, size_of::<WordsRecord>(), flags::GO);
    record.plan = WordPlan::of([(100, 2, false), (200, 2, true), (300, 2, false)]).unwrap();
    record.plan.ranges[2].start = WORD_BYTES as u32 - 1;
    record.refused[1] = -14;
    record.bytes[..2].copy_from_slice(&[1, 2]);
    record
}

#[test]
fn only_what_was_read_of_last_words_has_bytes() {
    let Ok(Event::Words(said)) = DECODER.decode(bytemuck::bytes_of(&words())) else { panic!("refused") };
    let found: Vec<_> = said.ranges.iter().map(|r| (r.address, r.bytes.as_deref(), r.was_untouched)).collect();
    assert_eq!(found, [(100, Some(&[1, 2][..]), false), (200, None, true), (300, None, false)]);
    assert_eq!((said.meta.target, said.go.map(|go| go.heap_inuse_bytes)), (3, Some(0)));
}

fn fatal(op: u32, caller: u64, stack: [u64; 4]) -> FatalRecord {
    let mut record: FatalRecord = bytemuck::Zeroable::zeroed();
    record.header = header(kind::FATAL, size_of::<FatalRecord>(), flags::GO);
    (record.op, record.caller, record.stack_bytes) = (op, caller, 32);
    (record.string_address, record.text_address, record.text_bytes) = (UNKNOWN, 0x5000, 300);
    record.copied_bytes = 256;
    record.stack[..4].copy_from_slice(&stack);
    record
}

#[test]
fn who_called_the_function_that_does_not_return_is_in_its_stack_once() {
    // The first is the function's own address; the second is who called it, on some kernels.
    for stack in [[10, 30, 40, 0], [10, 20, 30, 40]] {
        let record = fatal(fatal_op::FATAL, 20, stack);
        let Ok(Event::Fatal(said)) = DECODER.decode(bytemuck::bytes_of(&record)) else { panic!("refused") };
        assert_eq!((said.stack.as_slice(), said.what), (&[20, 30, 40][..], FatalWhat::Fatal));
        assert_eq!(said.text.bytes.map(|bytes| bytes.len()), Some(256));
        assert_eq!((said.text.address, said.text.length_bytes), (Some(0x5000), Some(300)));
    }
    let mut unread = fatal(fatal_op::PANIC, UNKNOWN, [0; 4]);
    (unread.stack_bytes, unread.copied_bytes, unread.text_bytes) = (-14, 0, UNKNOWN);
    let Ok(Event::Fatal(said)) = DECODER.decode(bytemuck::bytes_of(&unread)) else { panic!("refused") };
    assert_eq!((said.stack.len(), said.text.bytes, said.text.length_bytes), (0, None, None));
    unread.text_bytes = 0;
    let Ok(Event::Fatal(said)) = DECODER.decode(bytemuck::bytes_of(&unread)) else { panic!("refused") };
    assert_eq!(said.text.bytes, Some(Vec::new()), "an empty text is a text");
}

fn buckets(used: u64) -> BucketsRecord {
    let mut record: BucketsRecord = bytemuck::Zeroable::zeroed();
    record.header = header(kind::BUCKETS, size_of::<BucketsRecord>(), 0);
    record.used = used;
    record.bytes[..3].copy_from_slice(&[1, 2, 3]);
    record
}

fn goroutines(count: u64) -> GoroutinesRecord {
    let mut record: GoroutinesRecord = bytemuck::Zeroable::zeroed();
    record.header = header(kind::GOROUTINES, size_of::<GoroutinesRecord>(), 0);
    record.count = count;
    record.items[1].gopc = 7;
    record
}

fn walk_end(code: u32) -> WalkEndRecord {
    let state = WalkState {
        ended_ns: 9,
        rate_bytes: UNKNOWN,
        buckets: 3,
        listed: 40,
        goroutines: 20,
        one_in: 2,
        buckets_stop: code,
        goroutines_stop: stop::COUNT,
        ..WalkState::default()
    };
    WalkEndRecord { header: header(kind::WALK_END, size_of::<WalkEndRecord>(), 0), state }
}

#[test]
fn what_was_walked_is_no_more_than_there_is_in_a_record() {
    let part = |record: &[u8]| match DECODER.decode(record) {
        Ok(Event::Walk(walk)) => walk.part,
        other => panic!("{other:?}"),
    };
    assert_eq!(part(bytemuck::bytes_of(&buckets(3))), WalkPart::Buckets(vec![1, 2, 3]));
    assert_eq!(part(bytemuck::bytes_of(&buckets(u64::MAX))), WalkPart::Buckets(Vec::new()));
    let items = goroutines(2).items[..2].to_vec();
    assert_eq!(part(bytemuck::bytes_of(&goroutines(2))), WalkPart::Goroutines(items));
    assert_eq!(part(bytemuck::bytes_of(&goroutines(129))), WalkPart::Goroutines(Vec::new()));
    let WalkPart::End(end) = part(bytemuck::bytes_of(&walk_end(stop::TIME))) else { panic!("no end") };
    assert_eq!((end.took_ns, end.rate_bytes, end.collections), (9, None, Some(0)));
    assert_eq!((end.buckets.walked, end.buckets.of, end.buckets.stopped), (3, None, Stopped::Time));
    assert!(!end.buckets.stands_for_all() && end.goroutines.stands_for_all());
    assert_eq!((end.goroutines.walked, end.goroutines.of, end.goroutines.one_in), (20, Some(40), 2));
    let refused = DECODER.decode(bytemuck::bytes_of(&walk_end(99)));
    assert_eq!(refused, Err(DecodeError::Op { kind: kind::WALK_END, op: 99 }));
}

#[test]
fn the_last_fault_figures_come_as_a_sample_in_bytes() {
    let Ok(Event::Sample(sample)) = DECODER.decode(bytemuck::bytes_of(&fault())) else { panic!("no sample") };
    assert_eq!((sample.target, sample.faults), (3, Some(100)));
    let refaults = sample.refaults.unwrap();
    assert_eq!(refaults.bytes, [3 * PAGE, 0, 0, PAGE]);
    let mut unwatched = fault();
    unwatched.stats.faults = 0;
    unwatched.stats.target = memtrace_common::target::KERNEL_IDS;
    let Ok(Event::Sample(sample)) = DECODER.decode(bytemuck::bytes_of(&unwatched)) else { panic!("no sample") };
    assert_eq!(sample.faults, None, "a process that never faulted was not watched");
    assert_eq!((refaults.log2_ns[20], refaults.max_ns, refaults.untracked_bytes), (4, 1_500_000, 2 * PAGE));
}

#[test]
fn every_truncation_and_every_extension_is_refused() {
    for record in every_valid_record() {
        assert!(DECODER.decode(&record).is_ok());
        for length in 0..record.len() {
            let refused = DECODER.decode(&record[..length]);
            assert!(matches!(refused, Err(DecodeError::Length { .. })), "{length}: {refused:?}");
        }
        let mut longer = record.clone();
        longer.push(0);
        assert!(DECODER.decode(&longer).is_err());
        let mut misstated = record;
        misstated[28] ^= 8;
        assert!(matches!(DECODER.decode(&misstated), Err(DecodeError::Length { .. })));
    }
}

#[test]
fn unknown_kind_and_op_are_refused_by_name() {
    let mut record = advise(0, 4, call(1, 1, 1, 1));
    record.header.kind = 99;
    assert_eq!(DECODER.decode(bytemuck::bytes_of(&record)), Err(DecodeError::Kind(99)));
    let wrong = map(0, 9, 0, call(1, 1, 1, 1));
    assert_eq!(DECODER.decode(bytemuck::bytes_of(&wrong)), Err(DecodeError::Op { kind: kind::MAP, op: 9 }));
}

#[test]
fn random_bytes_never_panic() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let valid = every_valid_record();
    for round in 0..20_000 {
        // half pure noise, half valid frames with noise in every field behind the header
        let mut bytes = valid[round % valid.len()].clone();
        let from = if round % 2 == 0 { 0 } else { 32 };
        for byte in &mut bytes[from..] {
            *byte = if next() % 5 == 0 { 0xff } else { next() as u8 };
        }
        let at = (next() % bytes.len() as u64) as usize;
        let _ = DECODER.decode(&bytes[..if round % 4 == 0 { at } else { bytes.len() }]);
    }
}
