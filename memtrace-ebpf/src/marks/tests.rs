//! Random calls and faults against one plain state for each page.
use super::*;
use crate::range::page_align;
use bytemuck::Zeroable as _;
use memtrace_common::host::page_tables;
use memtrace_common::refault::mark;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashSet;

const PAGE: u64 = 4096;
const CHUNK: u64 = CHUNK_PAGES as u64;
/// Begins and ends inside a chunk.
const FIRST: u64 = 1000 * CHUNK - 700;
const PAGES: u64 = 3 * CHUNK;

/// Page-table entries: nothing, memory, the zero page, swapped, memory without access.
const ENTRIES: [u64; 5] = [0, 0x1234_5067, 0x1234_5225, 0x1234_5000, 0x1234_5100];

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A fault on each page that is not there.
    Touch,
    /// Memory that comes, goes or changes without a fault.
    Set(usize),
    Dontneed,
    Free,
    Munmap,
    /// Refused after it was walked: what it marked goes again.
    Refused,
    Moved,
    /// One fault that brings a huge page.
    Huge,
    /// Far more than can be walked.
    UnmapAll,
}

#[derive(Clone, Copy, Default)]
struct State {
    entry: u64,
    mark: u64,
}

struct Model {
    pages: Vec<State>,
    /// Chunks with a place in the table, by epoch.
    places: HashSet<(u64, u32)>,
    room: usize,
    faults: FaultStats,
    untracked: u64,
}

impl Model {
    fn owner(&self) -> Owner {
        Owner { target: 7, epoch: self.faults.epoch }
    }

    /// Every page of which the kernel's range holds a byte.
    fn inside(address: u64, length: u64) -> Vec<u64> {
        let end = address + length.div_ceil(PAGE) * PAGE;
        (FIRST..FIRST + PAGES).filter(|page| page * PAGE < end && (page + 1) * PAGE > address && length > 0).collect()
    }

    fn state(&mut self, page: u64) -> &mut State {
        &mut self.pages[(page - FIRST) as usize]
    }

    fn set(&mut self, page: u64, entry: u64) {
        self.state(page).entry = entry;
        kread::set_entry(page, entry);
    }

    fn is_resident(&mut self, page: u64) -> bool {
        pagetable::resident(self.state(page).entry, pagetable::bits(page_tables::X86_64)) == 1
    }

    fn has_place(&mut self, page: u64) -> bool {
        let place = (page / CHUNK, self.faults.epoch);
        self.places.contains(&place) || self.places.len() < self.room && self.places.insert(place)
    }

    /// The marks that go; a chunk without any left that was cleared whole has no place any more.
    fn unmark(&mut self, pages: &[u64], range: &Pages) -> u64 {
        let marked = pages.iter().filter(|page| std::mem::take(&mut self.state(**page).mark) != 0).count();
        let epoch = self.faults.epoch;
        let whole = |chunk: u64| range.first <= chunk * CHUNK && range.last >= chunk * CHUNK + CHUNK - 1;
        self.places.retain(|(chunk, of)| *of != epoch || !whole(*chunk));
        marked as u64
    }

    fn walk(&mut self, inside: &[u64], stamp: u64) -> [u64; 3] {
        let [mut resident, mut marked, mut unseen] = [0; 3];
        for page in inside {
            if self.is_resident(*page) {
                resident += 1;
                if stamp != 0 && self.has_place(*page) {
                    let old = std::mem::replace(&mut self.state(*page).mark, stamp);
                    (marked, unseen) = (marked + 1, unseen + u64::from(old != 0));
                }
            }
        }
        [resident, marked, unseen]
    }

    /// The code under test and the model, side by side.
    fn apply(&mut self, op: Op, address: u64, length: u64, t_ns: u64) {
        let inside = Self::inside(address, length);
        let Some(range) = Pages::new(address, page_align(length, 12), 12) else { return };
        let any = self.faults.outstanding_pages > 0;
        let (stamp, owner) = (mark::new(0, t_ns), self.owner());
        match op {
            Op::Touch => {
                let absent: Vec<u64> = inside.into_iter().filter(|page| !self.is_resident(*page)).collect();
                for page in absent {
                    self.set(page, ENTRIES[1]);
                    let one = Pages { first: page, last: page };
                    let came_back = clear(&one, owner, 0).unwrap();
                    self.faults.outstanding_pages -= came_back;
                    assert_eq!(came_back, self.unmark(&[page], &one), "one mark is taken by one fault");
                }
            }
            Op::Set(entry) => inside.into_iter().for_each(|page| self.set(page, ENTRIES[entry])),
            Op::Dontneed | Op::Free | Op::Refused => {
                let stamp = if matches!(op, Op::Free) { 0 } else { stamp };
                let Walked { resident, marked, unseen } = walk(kread::PGD, &range, owner, stamp).unwrap();
                assert_eq!([resident, marked, unseen], self.walk(&inside, stamp), "{op:?}");
                self.faults.outstanding_pages += marked - unseen;
                if let Op::Dontneed = op {
                    inside.into_iter().for_each(|page| self.set(page, 0));
                } else if let Op::Refused = op {
                    self.faults.outstanding_pages -= clear(&range, owner, stamp).unwrap();
                    self.pages.iter_mut().filter(|state| state.mark == stamp).for_each(|state| state.mark = 0);
                }
            }
            Op::Munmap | Op::Moved => {
                let is_moved = matches!(op, Op::Moved);
                forget(&mut self.faults, &range, is_moved);
                let gone = if any { self.unmark(&inside, &range) } else { 0 };
                self.untracked += if is_moved { gone } else { 0 };
                inside.into_iter().for_each(|page| self.set(page, 0));
            }
            Op::Huge => {
                let chunk = range.first / CHUNK;
                let whole: Vec<u64> = (FIRST..FIRST + PAGES).filter(|page| page / CHUNK == chunk).collect();
                let taken = take_chunk(chunk, owner.pack());
                self.faults.outstanding_pages -= taken;
                assert_eq!(taken, self.unmark(&whole, &Pages { first: 1, last: 0 }));
                whole.into_iter().for_each(|page| self.set(page, ENTRIES[1]));
            }
            Op::UnmapAll => {
                let all: Vec<u64> = (FIRST..FIRST + PAGES).collect();
                self.untracked += self.unmark(&all, &Pages { first: 1, last: 0 });
                forget(&mut self.faults, &Pages { first: 0, last: 1 << 40 }, false);
                assert_eq!(self.faults.epoch - owner.epoch, u32::from(any));
                all.into_iter().for_each(|page| self.set(page, 0));
            }
        }
    }

    fn check(&self) {
        let marked = self.pages.iter().filter(|state| state.mark != 0).count() as u64;
        assert_eq!(self.faults.outstanding_pages, marked);
        assert_eq!(self.faults.untracked_pages, self.untracked);
        for (page, state) in (FIRST..).zip(&self.pages) {
            let marks = maps::chunk(&Owner::key(self.owner().pack(), page / CHUNK));
            assert_eq!(marks.map_or(0, |marks| marks[(page % CHUNK) as usize]), state.mark, "page {page}");
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Touch),
        2 => (0..ENTRIES.len()).prop_map(Op::Set),
        6 => Just(Op::Dontneed),
        1 => Just(Op::Free),
        2 => Just(Op::Munmap),
        1 => Just(Op::Refused),
        1 => Just(Op::Moved),
        1 => Just(Op::Huge),
        1 => Just(Op::UnmapAll),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))] #[test]
    fn marks_are_what_a_plain_state_for_each_page_says(
        room in 1..6_usize,
        calls in vec((op(), 0..PAGES * PAGE, 0..800 * PAGE), 1..40),
    ) {
        maps::start(room);
        kread::clear();
        let (faults, places) = (FaultStats { target: 7, ..FaultStats::zeroed() }, HashSet::new());
        let mut model = Model { pages: vec![State::default(); PAGES as usize], places, room, faults, untracked: 0 };
        for (t_ns, (op, inside, length)) in (1..).zip(calls) {
            model.apply(op, FIRST * PAGE + inside, length.min(PAGES * PAGE - inside), t_ns);
            model.check();
        }
    }
}
