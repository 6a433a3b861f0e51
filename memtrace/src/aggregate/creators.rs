//! Who mapped which memory, from traced mmap, munmap and mremap calls: what `other_anonymous` is made of.
use super::waterfall::Waterfall;
use crate::event::{MapEvent, MapOp, TargetId};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

/// Mappings remembered over all processes, about 100 bytes each; those made later have no creator.
const MAPPINGS_MAX: usize = 1 << 16;

/// By process and start.
#[derive(Debug, Default)]
pub struct Creators {
    of: HashMap<TargetId, BTreeMap<u64, Mapped>>,
    count: usize,
    /// Mappings for which there was no room.
    pub left_out: u64,
}

#[derive(Clone, Debug)]
struct Mapped {
    end: u64,
    creator: Arc<str>,
}

impl Creators {
    /// `creator`: names the function that made the call, asked for new mappings only; `None`: not known.
    pub fn apply(&mut self, event: &MapEvent, creator: impl FnOnce() -> Option<Arc<str>>) {
        let (call, target) = (&event.call, event.meta.target);
        let Ok(result) = u64::try_from(call.result) else { return };
        let range = |start: u64, bytes: u64| start..start.saturating_add(bytes);
        match event.op {
            MapOp::Mmap => {
                self.forget(target, range(result, call.length_bytes));
                self.remember(target, range(result, call.length_bytes), creator());
            }
            MapOp::Munmap => self.forget(target, range(call.address, call.length_bytes)),
            // It stays the one who mapped it first.
            MapOp::Mremap => {
                let first = self.creator(target, &range(call.address, call.length_bytes.max(1)));
                let creator = first.or_else(creator);
                let to = range(result, event.new_length_bytes.unwrap_or(call.length_bytes));
                self.forget(target, range(call.address, call.length_bytes));
                self.forget(target, to.clone());
                self.remember(target, to, creator);
            }
            MapOp::Brk => {}
        }
    }

    /// A new program, or none any more.
    pub fn forget_all(&mut self, target: TargetId) {
        self.count -= self.of.remove(&target).map_or(0, |mappings| mappings.len());
    }

    /// Names the creators of the mappings that a waterfall lists.
    pub fn name(&self, target: TargetId, fall: &mut Waterfall) {
        for mapping in &mut fall.anonymous {
            mapping.creator = self.creator(target, &mapping.range).map(|creator| creator.to_string());
        }
    }

    fn remember(&mut self, target: TargetId, range: Range<u64>, creator: Option<Arc<str>>) {
        let Some(creator) = creator.filter(|_| !range.is_empty()) else { return };
        if self.count >= MAPPINGS_MAX {
            self.left_out += 1;
            return;
        }
        let mappings = self.of.entry(target).or_default();
        self.count += usize::from(mappings.insert(range.start, Mapped { end: range.end, creator }).is_none());
    }

    /// Cuts the range out of whatever it overlaps.
    fn forget(&mut self, target: TargetId, range: Range<u64>) {
        let Some(mappings) = self.of.get_mut(&target) else { return };
        let overlaps = |(start, mapped): (&u64, &Mapped)| (mapped.end > range.start).then_some(*start);
        let starts: Vec<u64> = mappings.range(..range.end).rev().map_while(overlaps).collect();
        for start in starts {
            let Some(mapped) = mappings.remove(&start) else { continue };
            self.count -= 1;
            let parts = [(start, mapped.end.min(range.start)), (start.max(range.end), mapped.end)];
            for (start, end) in parts.into_iter().filter(|(start, end)| start < end) {
                mappings.insert(start, Mapped { end, creator: Arc::clone(&mapped.creator) });
                self.count += 1;
            }
        }
    }

    /// Who made most of a range: the kernel merges neighbours.
    fn creator(&self, target: TargetId, range: &Range<u64>) -> Option<Arc<str>> {
        let mut bytes: BTreeMap<&Arc<str>, u64> = BTreeMap::new();
        let mappings = self.of.get(&target)?.range(..range.end).rev();
        for (start, mapped) in mappings.take_while(|(_, mapped)| mapped.end > range.start) {
            let inside = mapped.end.min(range.end) - (*start).max(range.start);
            *bytes.entry(&mapped.creator).or_default() += inside;
        }
        bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(creator, _)| Arc::clone(creator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Call, Meta};
    use proptest::collection::vec;
    use proptest::prelude::*;

    const PAGE: u64 = 4096;

    fn event(op: MapOp, address: u64, pages: u64, result: i64, new_pages: Option<u64>) -> MapEvent {
        let meta = Meta { t_ns: 0, tgid: 7, tid: 7, target: 1, cpu: 0 };
        let call = Call {
            address,
            length_bytes: pages * PAGE,
            result,
            duration_ns: 0,
            rss_before_bytes: None,
            rss_after_bytes: None,
            resident_bytes: None,
            unmapped_bytes: None,
            freed_bytes: None,
            approximate: false,
            go: None,
            stack_id: None,
        };
        let new_length_bytes = new_pages.map(|pages| pages * PAGE);
        MapEvent { meta, call, op, new_length_bytes, brk_delta_bytes: None, prot: 0, flags: 0 }
    }

    fn at(creators: &Creators, pages: Range<u64>) -> Option<String> {
        creators.creator(1, &(pages.start * PAGE..pages.end * PAGE)).map(|creator| creator.to_string())
    }

    #[test]
    fn a_mapping_is_its_creators_until_it_is_unmapped_or_mapped_over() {
        let mut creators = Creators::default();
        let mut mmap = |page: u64, pages: u64, name: &str| {
            let result = i64::try_from(page * PAGE).unwrap();
            creators.apply(&event(MapOp::Mmap, 0, pages, result, None), || Some(name.into()));
        };
        mmap(10, 10, "a");
        mmap(20, 4, "b");
        mmap(12, 2, "c");
        creators.apply(&event(MapOp::Munmap, 16 * PAGE, 2, 0, None), || None);
        creators.apply(&event(MapOp::Munmap, 18 * PAGE, 2, -22, None), || None);
        assert_eq!(at(&creators, 10..12).as_deref(), Some("a"));
        assert_eq!(at(&creators, 12..14).as_deref(), Some("c"));
        assert_eq!(at(&creators, 16..18), None);
        // Of a merged mapping the one with most of it.
        assert_eq!(at(&creators, 17..24).as_deref(), Some("b"));
        assert_eq!(creators.count, 5);
        creators.forget_all(1);
        assert_eq!((creators.count, at(&creators, 0..99)), (0, None));
    }

    #[test]
    fn a_moved_mapping_keeps_its_creator() {
        let mut creators = Creators::default();
        creators.apply(&event(MapOp::Mmap, 0, 4, 40960, None), || Some("a".into()));
        creators.apply(&event(MapOp::Mremap, 40960, 4, 409_600, Some(8)), || Some("b".into()));
        assert_eq!(at(&creators, 10..14), None);
        assert_eq!(at(&creators, 100..108).as_deref(), Some("a"));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut creators = Creators { count: MAPPINGS_MAX, ..Creators::default() };
        creators.apply(&event(MapOp::Mmap, 0, 1, 4096, None), || Some("a".into()));
        assert_eq!((creators.left_out, at(&creators, 1..2)), (1, None));
    }

    /// One creator for each byte.
    #[derive(Clone)]
    struct Naive([Option<u8>; 512]);

    impl Naive {
        fn set(&mut self, range: &Range<u64>, creator: Option<u8>) {
            range.clone().for_each(|at| self.0[at as usize] = creator);
        }

        /// Who has most; of equals the last by name.
        fn most(&self, range: &Range<u64>) -> Option<u8> {
            let bytes = |creator: u8| range.clone().filter(|at| self.0[*at as usize] == Some(creator)).count();
            (b'a'..=b'd').filter(|creator| bytes(*creator) > 0).max_by_key(|creator| bytes(*creator))
        }
    }

    fn name(creator: u8) -> Arc<str> {
        char::from(creator).to_string().into()
    }

    /// Operation, address, length, new address, new length, creator.
    type Drawn = (u8, u64, u64, u64, u64, u8);

    fn apply(creators: &mut Creators, naive: &mut Naive, (op, address, length, to, new_length, who): Drawn) {
        let (old, new) = (address..address + length, to..to + new_length);
        let sized = |op, result: u64| {
            let mut event = event(op, address, 0, result as i64, None);
            (event.call.length_bytes, event.new_length_bytes) = (length, Some(new_length));
            event
        };
        let event = match op {
            0 => {
                naive.set(&old, Some(who));
                sized(MapOp::Mmap, address)
            }
            1 => {
                naive.set(&old, None);
                sized(MapOp::Munmap, 0)
            }
            _ => {
                let first = naive.most(&(address..address + length.max(1)));
                naive.set(&old, None);
                naive.set(&new, first.or(Some(who)));
                sized(MapOp::Mremap, to)
            }
        };
        creators.apply(&event, || Some(name(who)));
    }

    proptest! {
        #[test]
        fn every_byte_has_the_creator_that_a_naive_model_gives_it(
            drawn in vec((0..3_u8, 0..256_u64, 0..128_u64, 0..256_u64, 0..128_u64, b'a'..=b'd'), 0..100),
        ) {
            let (mut creators, mut naive) = (Creators::default(), Naive([None; 512]));
            for one in drawn {
                apply(&mut creators, &mut naive, one);
                prop_assert_eq!(creators.count, creators.of.values().map(BTreeMap::len).sum::<usize>());
            }
            for at in 0..512 {
                prop_assert_eq!(creators.creator(1, &(at..at + 1)), naive.0[at as usize].map(name), "byte {}", at);
            }
        }
    }
}
