use super::*;
use crate::procfs::pagemap::{PageState, Run};
use crate::procfs::vmas::{FileId, Sizes, Smaps, Vma};
use std::convert::Infallible;

const PAGE: u64 = 4096;
const HEAP: u64 = 0xc0_0000_0000;

fn vma(range: Range<u64>, perms: &str, file: u64, name: &str, sizes: Sizes) -> Vma {
    Vma {
        range,
        readable: perms.contains('r'),
        writable: perms.contains('w'),
        executable: perms.contains('x'),
        shared: perms.contains('s'),
        file: (file != 0).then_some(FileId { device: (8, 1), inode: file }),
        name: name.to_owned(),
        sizes,
        hugetlb: false,
    }
}

fn rss(pages: u64) -> Sizes {
    Sizes { rss: pages * PAGE, ..Sizes::default() }
}

fn segment(first: u64, pages: u64, what: What) -> Segment {
    Segment { range: HEAP + first * PAGE..HEAP + (first + pages) * PAGE, what }
}

fn thp(enabled: &str) -> Option<Thp> {
    Some(Thp { enabled: enabled.to_owned(), defrag: String::new(), max_ptes_none: Some(511) })
}

/// Pages of the heap as `(first, count, huge)`.
fn fall(vmas: Vec<Vma>, segments: &[Segment], pages: &[(u64, u64, bool)], context: &Context) -> Waterfall {
    let smaps = Smaps { vmas, ..Smaps::default() };
    let process = Process { exe: Some("/bin/x".to_owned()), tmpfs: vec![(0, 22)] };
    let scan = |_: &Range<u64>, on_run: &mut dyn FnMut(Run)| {
        for (first, count, huge) in pages {
            let range = HEAP + first * PAGE..HEAP + (first + count) * PAGE;
            on_run(Run { range, state: PageState::Resident { huge: Some(*huge) } });
        }
        Ok::<_, Infallible>(())
    };
    let Ok(fall) = Tally::new(&smaps, &process, segments.iter().cloned(), context, PAGE).run(context, scan);
    let sum: u64 = fall.buckets.iter().map(|b| b.bytes).sum();
    assert_eq!(sum + fall.unknown_bytes, fall.rss_bytes, "the buckets sum to RSS");
    fall
}

#[test]
fn each_resident_page_of_the_heap_is_in_one_bucket() {
    let segments = [
        // a span all there: 3 slots of 2000 bytes used, 1 free, the tail
        segment(0, 2, What::Objects { allocated: 6000, slots: 8000, unswept: false }),
        // a large object of which one page was touched
        segment(2, 4, What::Objects { allocated: 4 * PAGE, slots: 4 * PAGE, unswept: true }),
        segment(6, 8, What::Stacks { used: 5 * PAGE }),
        segment(14, 4, What::Idle),
        segment(18, 4, What::Released),
        segment(30, 2, What::Released),
    ];
    let context = Context { marked_bytes: Some(0), thp: thp("always"), ..Context::default() };
    let heap = vma(HEAP..HEAP + 64 * PAGE, "rw", 0, "", Sizes { lazy_free: PAGE, ..rss(99) });
    let pages = [(0, 3, false), (6, 9, false), (18, 1, true), (20, 2, false), (28, 3, false)];
    let fall = fall(vec![heap], &segments, &pages, &context);
    let expected = [
        ("garbage_and_floating", 6000),
        ("unswept", PAGE),
        ("free_slots", 2000),
        ("size_class_rounding", 2 * PAGE - 8000),
        ("goroutine_stacks_in_use", 5 * PAGE),
        ("goroutine_stacks_free", 3 * PAGE),
        ("idle_resident", PAGE),
        ("released_thp_reinflation", PAGE),
        ("released_lazy_free", PAGE),
        ("released_unknown_cause", 2 * PAGE),
    ];
    for (name, bytes) in expected {
        assert_eq!(fall.bytes(name), bytes, "{name}: {fall:#?}");
    }
    assert_eq!((fall.buckets.len(), fall.unknown_bytes, fall.rss_bytes), (expected.len(), 2 * PAGE, 18 * PAGE));
    assert!(!fall.is_mostly_known());
}

#[test]
fn live_heap_is_the_marked_part_of_what_is_resident() {
    let segments = [segment(0, 8, What::Objects { allocated: 8 * PAGE, slots: 8 * PAGE, unswept: false })];
    let heap = vma(HEAP..HEAP + 8 * PAGE, "rw", 0, "", rss(4));
    let context = Context { marked_bytes: Some(4 * PAGE), ..Context::default() };
    let half = fall(vec![heap.clone()], &segments, &[(0, 4, false)], &context);
    assert_eq!((half.bytes("live_heap"), half.bytes("garbage_and_floating")), (2 * PAGE, 2 * PAGE));
    let absurd = Context { marked_bytes: Some(u64::MAX), ..context };
    assert_eq!(fall(vec![heap], &segments, &[(0, 4, false)], &absurd).bytes("live_heap"), 4 * PAGE);
}

#[test]
fn ranges_that_are_not_whole_pages_leave_rounding() {
    let range = HEAP + 100..HEAP + PAGE + 50;
    let segments = [Segment { range, what: What::Metadata(Metadata::Persistent) }];
    let area = vma(HEAP..HEAP + 8 * PAGE, "rw", 0, "", rss(3));
    let fall = fall(vec![area], &segments, &[(0, 3, false)], &Context::default());
    assert_eq!((fall.bytes("metadata_persistent"), fall.bytes("page_rounding")), (PAGE - 50, PAGE + 50));
    assert_eq!((fall.bytes("other_anonymous"), fall.unknown_bytes), (PAGE, 0));
}

#[test]
fn mappings_are_named_by_the_kernels_word() {
    let copied = Sizes { anonymous: PAGE, ..rss(3) };
    let libc = 0x7f00_0000_0000;
    let mut memfd = vma(0x7f20_0000_0000..0x7f20_0000_9000, "rws", 9, "/x", rss(6));
    memfd.file = Some(FileId { device: (0, 22), inode: 9 });
    let vmas = vec![
        vma(0x40_0000..0x50_0000, "rx", 5, "/bin/x", rss(10)),
        vma(0x50_0000..0x60_0000, "r", 5, "/bin/x", rss(7)),
        vma(0x60_0000..0x61_0000, "rw", 5, "/bin/x", copied),
        vma(0x61_0000..0x62_0000, "rw", 0, "", rss(4)),
        vma(0x70_0000..0x71_0000, "rw", 0, "[heap]", rss(5)),
        // Far from any library this is a Go arena, not malloc's.
        vma(HEAP..HEAP + (4 << 20), "rw", 0, "", rss(20)),
        vma(0x7eff_f400_0000..0x7eff_f402_0000, "rw", 0, "", rss(8)),
        vma(0x7eff_f402_0000..0x7eff_f800_0000, "", 0, "", rss(0)),
        vma(0x7eff_fb00_0000..0x7eff_fb00_1000, "", 0, "", rss(0)),
        vma(0x7eff_fb00_1000..0x7eff_fb80_1000, "rw", 0, "", rss(2)),
        vma(libc..libc + 0x10_0000, "rx", 6, "/lib/libc.so.6", copied),
        memfd,
        vma(0x7fff_0000_0000..0x7fff_0001_0000, "rw", 0, "[stack]", rss(1)),
        vma(0x7fff_1000_0000..0x7fff_1000_2000, "rx", 0, "[vdso]", rss(1)),
    ];
    let fall = fall(vmas, &[], &[], &Context::default());
    let expected = [
        ("binary_text", 10),
        ("binary_rodata", 7),
        ("binary_data_clean", 2),
        ("binary_data_dirty", 1),
        ("binary_bss", 4),
        ("cgo_malloc_heaps", 13),
        ("thread_stacks", 3),
        ("other_file_mappings", 2),
        ("other_file_copies", 1),
        ("shared_memory", 6),
        ("other_anonymous", 20),
        ("kernel_mappings", 1),
    ];
    for (name, pages) in expected {
        assert_eq!(fall.bytes(name), pages * PAGE, "{name}");
    }
    assert_eq!(fall.buckets.len(), expected.len());
    assert_eq!(fall.anonymous.first().map(|a| (a.range.start, a.bytes)), Some((HEAP, 20 * PAGE)));
}

#[test]
fn a_block_of_mallocs_is_no_unknown_part_of_a_heap() {
    let segments = [segment(0, 4, What::Malloc)];
    let area = vma(HEAP..HEAP + 8 * PAGE, "rw", 0, "", rss(8));
    let fall = fall(vec![area], &segments, &[(0, 8, false)], &Context::default());
    assert_eq!((fall.bytes("cgo_malloc_heaps"), fall.bytes("other_anonymous")), (4 * PAGE, 4 * PAGE));
    assert_eq!(fall.unknown_bytes, 0);
}

#[test]
fn advice_knows_the_host_and_the_go_version() {
    let segments = [segment(0, 512, What::Released)];
    let heap = vma(HEAP..HEAP + 512 * PAGE, "rw", 0, "", rss(512));
    let advice = |go: &str, pages: u64| {
        let go_version = Some(go.to_owned());
        let context = Context { go_version, thp: thp("always"), release: "6.1".to_owned(), ..Context::default() };
        fall(vec![heap.clone()], &segments, &[(0, pages, true)], &context).buckets[0].advice.clone()
    };
    let of = |go: &str| advice(go, 512).unwrap();
    assert!(of("go1.21.6").contains("disablethp=1") && of("go1.26.6 X:nogreenteagc").contains("disablethp=1"));
    assert!(!of("go1.21.5").contains("disablethp") && of("go1.19.8").contains("PR_SET_THP_DISABLE"));
    assert!(of("go1.19.8").contains("max_ptes_none 511 on kernel 6.1"));
    assert_eq!(advice("go1.26.6", 8), None, "too little to act on");
}

#[test]
fn disordered_segments_lose_no_byte() {
    let what = What::Idle;
    let segments = [segment(4, 4, what), segment(0, 6, what), segment(2, 1, what)];
    let heap = vma(HEAP..HEAP + 16 * PAGE, "rw", 0, "", rss(16));
    assert_eq!(fall(vec![heap], &segments, &[(0, 16, false)], &Context::default()).rss_bytes, 16 * PAGE);
}
