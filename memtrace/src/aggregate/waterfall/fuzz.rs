//! What the fuzz target calls: any bytes as the mappings of a process, with ranges of a runtime and resident pages in them.
use super::{Context, Metadata, Process, Segment, Tally, What, own_mappings_of_malloc};
use crate::procfs::pagemap::{PageState, Run};
use crate::procfs::vmas::{Smaps, Vma};
use std::convert::Infallible;
use std::ops::Range;

const PAGE: u64 = 4096;
/// Sums of so much do not saturate.
const SANE_BYTES: u64 = 1 << 60;
const VMAS_MAX: usize = 64;

/// The text of smaps; behind a NUL, eight bytes for each range and run of pages.
pub(crate) fn smaps(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let Ok(smaps) = Smaps::parse(text, VMAS_MAX) else { return };
    assert!(smaps.vmas.is_sorted_by(|a, b| a.range.end <= b.range.start), "sorted and disjoint");
    let process = Process { exe: smaps.vmas.first().map(|vma| vma.name.clone()), tmpfs: vec![(0, 15)] };
    let _ = own_mappings_of_malloc(&smaps, &process).count();
    let (shapes, _) = rest.get(1..).unwrap_or_default().as_chunks::<8>();
    let segments = shapes.iter().scan(start(&smaps), |at, shape| Some(segment(at, shape)));
    let context = Context { marked_bytes: Some(1 << 20), ..Context::default() };
    let Ok(fall) = Tally::new(&smaps, &process, segments, &context, PAGE).run(&context, |range, on_run| {
        runs(range, shapes).for_each(on_run);
        Ok::<_, Infallible>(())
    });
    let named: u128 = fall.buckets.iter().map(|bucket| u128::from(bucket.bytes)).sum();
    let sane = smaps.vmas.iter().map(Vma::bytes).chain([smaps.rss_bytes()]).all(|bytes| bytes < SANE_BYTES);
    assert!(!sane || named + u128::from(fall.unknown_bytes) == u128::from(fall.rss_bytes), "{fall:?}");
}

fn start(smaps: &Smaps) -> u64 {
    smaps.vmas.iter().find(|vma| vma.file.is_none()).map_or(0, |vma| vma.range.start)
}

/// Ascending; not always of whole pages.
fn segment(at: &mut u64, shape: &[u8; 8]) -> Segment {
    let [skip, length, what, finer, ..] = shape.map(u64::from);
    let start = at.saturating_add(skip * PAGE);
    let end = start.saturating_add(length * PAGE + finer);
    *at = end;
    let what = match what % 6 {
        0 => What::Objects { allocated: skip * 100, slots: length * PAGE, unswept: finer % 2 == 0 },
        1 => What::Stacks { used: skip * 1000 },
        2 => What::Idle,
        3 => What::Released,
        4 => What::Metadata(Metadata::GcBits),
        _ => What::Malloc,
    };
    Segment { range: start..end, what }
}

/// As the kernel gives them: ascending, of whole pages, inside the range.
fn runs(range: &Range<u64>, shapes: &[[u8; 8]]) -> impl Iterator<Item = Run> {
    let range = range.clone();
    shapes.iter().scan(range.start, move |at, [.., skip, pages, state]| {
        let start = at.saturating_add(u64::from(*skip) * PAGE).min(range.end);
        let end = start.saturating_add((u64::from(*pages) + 1) * PAGE).min(range.end);
        *at = end;
        let states = [PageState::Swapped, resident(None), resident(Some(true)), resident(Some(false))];
        (start < end).then(|| Run { range: start..end, state: states[usize::from(*state) % states.len()] })
    })
}

fn resident(huge: Option<bool>) -> PageState {
    PageState::Resident { huge }
}
