//! From raw records to the account, whatever is lost on the way.
use super::*;
use crate::snapshot::Snapshot;
use crate::source::ring::Hopper;
use bytemuck::{Zeroable as _, bytes_of};
use memtrace_common::header::{Header, flags};
use memtrace_common::kind;
use memtrace_common::records::{MapRecord, map_op};
use proptest::collection::vec;
use proptest::prelude::*;

const PAGE: u64 = 4096;

/// What becomes of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Filtered,
    RingFull,
    ReadFailed,
    Submitted,
    /// Submitted, and not understood.
    Damaged,
}

/// A hit: its fate, how many pages it unmaps, whether the drain ends a batch behind it.
type Hit = (Fate, u64, bool);

fn hits() -> impl Strategy<Value = Vec<Hit>> {
    let fate = prop_oneof![
        1 => Just(Fate::Filtered),
        1 => Just(Fate::RingFull),
        1 => Just(Fate::ReadFailed),
        4 => Just(Fate::Submitted),
        1 => Just(Fate::Damaged),
    ];
    vec((fate, 1..100_u64, prop::bool::weighted(0.2)), 0..200)
}

/// `None`: nothing came of it in the ring.
fn record((fate, pages, _): Hit, number: usize) -> Option<MapRecord> {
    let kind = match fate {
        Fate::Submitted => kind::MAP,
        Fate::Damaged => 99,
        _ => return None,
    };
    let size = size_of::<MapRecord>() as u32;
    let target = number as u32 % 3 + 1;
    let header =
        Header { t_ns: number as u64, tgid: target, tid: target, target, cpu: 0, kind, flags: flags::RSS, size };
    let mut record = MapRecord { header, op: map_op::MUNMAP, ..MapRecord::zeroed() };
    (record.call.length, record.call.rss_before_pages) = (pages * PAGE, pages);
    Some(record)
}

/// As the kernel's programs count.
fn program(hits: &[Hit]) -> ProgramAccount {
    let of = |fate| hits.iter().filter(|(is, ..)| *is == fate).count() as u64;
    ProgramAccount {
        name: "map".to_owned(),
        hits: hits.len() as u64,
        filtered: of(Fate::Filtered),
        summed: 0,
        submitted: of(Fate::Submitted) + of(Fate::Damaged),
        ring_full: of(Fate::RingFull),
        read_failed: of(Fate::ReadFailed),
    }
}

/// Through the drain's batches, each taken or not; what came of it, and the batches that were not taken.
fn run(hits: &[Hit], has_room: &[bool], splits: bool) -> (Account, Snapshot, Vec<Batch>) {
    let counts = Arc::<DrainCounts>::default();
    let (mut taken, mut refused, mut room) = (Vec::new(), Vec::new(), has_room.iter().cycle());
    let mut send = |batch| {
        let is_taken = room.next().is_none_or(|room| *room);
        if is_taken { &mut taken } else { &mut refused }.push(batch);
        is_taken
    };
    let mut hopper = Hopper::new(counts.clone());
    for (number, hit) in hits.iter().enumerate() {
        record(*hit, number).iter().for_each(|record| hopper.put(bytes_of(record), &mut send));
        if splits && hit.2 {
            hopper.hand_on(&mut send);
        }
    }
    hopper.hand_on(&mut send);
    let style = Style { color: false };
    let decoder = Decoder { page_bytes: PAGE };
    let processing = Processing::stat(decoder, 0, Format::Json, style, false, None, io::sink());
    let mut processing = processing.accounting(counts, Proof::default());
    for batch in taken {
        assert!(!processing.take(Work::Batch(batch), &mut |_| {}).unwrap());
    }
    let account = processing.account(vec![program(hits)]);
    let View::Stat { aggregator, .. } = &mut processing.view else { unreachable!() };
    (account.clone(), aggregator.finish(1000, account), refused)
}

/// Calls and bytes of all processes.
fn unmapped(snapshot: &Snapshot) -> (u64, u64) {
    let calls = snapshot.processes.iter().map(|process| &process.munmap);
    calls.fold((0, 0), |(n, bytes), call| (n + call.calls, bytes + call.unmapped_bytes.unwrap_or(0)))
}

proptest! {
    #[test]
    fn how_records_are_split_into_batches_does_not_matter(hits in hits()) {
        let (split, whole) = (run(&hits, &[true], true), run(&hits, &[true], false));
        prop_assert_eq!((split.0, split.1), (whole.0, whole.1));
    }

    #[test]
    fn the_sums_close_and_lost_is_what_was_dropped(hits in hits(), has_room in vec(any::<bool>(), 1..20)) {
        let (account, snapshot, refused) = run(&hits, &has_room, true);
        prop_assert_eq!(account.violations(), <Vec<String>>::new());
        let decoder = Decoder { page_bytes: PAGE };
        let shed: Vec<_> = refused.iter().flat_map(Batch::iter).map(|record| decoder.decode(record)).collect();
        let of = |fate| hits.iter().filter(|(is, ..)| *is == fate).count() as u64;
        let shed_damaged = shed.iter().filter(|record| record.is_err()).count() as u64;
        let decode_errors = of(Fate::Damaged) - shed_damaged;
        let dropped = of(Fate::RingFull) + of(Fate::ReadFailed) + shed.len() as u64 + decode_errors;
        prop_assert_eq!((account.lost(), account.shed), (dropped, shed.len() as u64));
        // What was not dropped is in the ledger, to the byte.
        let all: u64 = hits.iter().filter(|(fate, ..)| *fate == Fate::Submitted).map(|(_, pages, _)| pages * PAGE).sum();
        let lost: u64 = shed.iter().flatten().map(bytes).sum();
        let calls = account.hits() - account.filtered() - account.lost();
        prop_assert_eq!(unmapped(&snapshot), (calls, all - lost));
    }
}

fn bytes(event: &Event) -> u64 {
    if let Event::Map(map) = event { map.call.length_bytes } else { 0 }
}
