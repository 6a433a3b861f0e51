//! One plain state for each page, and what the ledger must say of the calls on them.
use memtrace_tests::PAGE;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Refuses to replace a mapping.
    Map,
    /// Replaces whatever is there.
    Over,
    Unmap,
    Advise(&'static str),
    Write,
    Read,
}

/// In bytes; the address counts from `BASE`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) op: Op,
    pub(super) address: u64,
    pub(super) length: u64,
}

impl Call {
    pub(super) fn command(&self) -> String {
        let (word, advice) = match self.op {
            Op::Map => ("mmap", ""),
            Op::Over => ("over", ""),
            Op::Unmap => ("munmap", ""),
            Op::Advise(advice) => ("madvise", advice),
            Op::Write => ("write", ""),
            Op::Read => ("read", ""),
        };
        format!("{word} {} {} {advice}", self.address, self.length)
    }

    fn is_aligned(&self) -> bool {
        self.address.is_multiple_of(PAGE)
    }

    fn pages(&self) -> u64 {
        self.length.div_ceil(PAGE)
    }

    fn is_touch(&self) -> bool {
        matches!(self.op, Op::Write | Op::Read)
    }
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Content {
    #[default]
    Nothing,
    /// What a read maps: no memory.
    ZeroPage,
    Memory,
}

#[derive(Clone, Copy, Default)]
struct Page {
    is_mapped: bool,
    content: Content,
    /// The advice that returned it, until it is known to be back.
    returned_by: Option<&'static str>,
}

/// What is said of one kind of call, in pages.
#[derive(Clone, Copy, Default)]
struct Row {
    calls: u64,
    failed: u64,
    asked: u64,
    unmapped: u64,
    refaulted: u64,
    resident_before: u64,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.asked += other.asked;
        self.unmapped += other.unmapped;
        self.refaulted += other.refaulted;
        self.resident_before += other.resident_before;
    }

    fn note(&mut self, errno: i32, pages: u64) {
        self.calls += 1;
        match errno {
            0 => self.asked += pages,
            _ => self.failed += 1,
        }
    }
}

/// A region of pages and the figures of one thread that works on it.
#[derive(Clone)]
pub(super) struct Model {
    first: u64,
    pages: Vec<Page>,
    advise: BTreeMap<&'static str, Row>,
    munmap: Row,
    mmap: Row,
    faults: u64,
    /// Re-faults that a fault made: their time is known.
    timed: u64,
}

fn drops(advice: &str) -> bool {
    matches!(advice, "dontneed" | "dontneed_locked")
}

impl Model {
    pub(super) fn new(region: Range<u64>) -> Self {
        let pages = vec![Page::default(); (region.end - region.start) as usize];
        let (advise, [munmap, mmap]) = (BTreeMap::new(), [Row::default(); 2]);
        Self { first: region.start, pages, advise, munmap, mmap, faults: 0, timed: 0 }
    }

    pub(super) fn region(&self) -> Range<u64> {
        self.first..self.first + self.pages.len() as u64
    }

    /// The first pages in a row within these that are mapped, or are not.
    pub(super) fn run(&self, pages: Range<u64>, mapped: bool) -> Option<Range<u64>> {
        let is_wanted = |page: &u64| self.pages[(*page - self.first) as usize].is_mapped == mapped;
        let start = pages.clone().find(is_wanted)?;
        Some(start..(start..pages.end).find(|page| !is_wanted(page)).unwrap_or(pages.end))
    }

    pub(super) fn resident_pages(&self) -> u64 {
        self.pages.iter().filter(|page| page.content == Content::Memory).count() as u64
    }

    /// Every page of which the range has a byte, as far as it lies in the region.
    fn touched(&mut self, call: &Call) -> &mut [Page] {
        let end = (call.address + call.pages() * PAGE).div_ceil(PAGE).min(self.region().end);
        let start = (call.address / PAGE).min(end);
        &mut self.pages[(start - self.first) as usize..(end - self.first) as usize]
    }

    /// The errno that must come of it.
    pub(super) fn apply(&mut self, call: &Call) -> i32 {
        if call.is_touch() {
            self.touch(call);
            return 0;
        }
        if let Op::Advise(advice) = call.op {
            return self.advise(call, advice);
        }
        let errno = match call.op {
            _ if !call.is_aligned() || call.length == 0 => libc::EINVAL,
            Op::Map if self.touched(call).iter().any(|page| page.is_mapped) => libc::EEXIST,
            _ => 0,
        };
        let row = if call.op == Op::Unmap { &mut self.munmap } else { &mut self.mmap };
        row.note(errno, call.pages());
        if errno == 0 {
            let is_mapped = call.op != Op::Unmap;
            let mut fell = 0;
            for page in self.touched(call) {
                fell += u64::from(page.content == Content::Memory);
                *page = Page { is_mapped, ..Page::default() };
            }
            // What a mapping replaces is not called returned.
            self.munmap.unmapped += if is_mapped { 0 } else { fell };
        }
        errno
    }

    fn touch(&mut self, call: &Call) {
        let (mut faults, mut back) = (0, Vec::new());
        for page in self.touched(call) {
            assert!(page.is_mapped, "no page to touch: {call:?}");
            match (call.op, page.content) {
                (_, Content::Memory) | (Op::Read, Content::ZeroPage) => continue,
                (Op::Read, _) => page.content = Content::ZeroPage,
                _ => {
                    page.content = Content::Memory;
                    back.extend(page.returned_by.take());
                }
            }
            faults += 1;
        }
        self.faults += faults;
        self.timed += back.len() as u64;
        for advice in back {
            self.row(advice).refaulted += 1;
        }
    }

    fn row(&mut self, advice: &'static str) -> &mut Row {
        self.advise.entry(advice).or_default()
    }

    fn advise(&mut self, call: &Call, advice: &'static str) -> i32 {
        let has_hole = self.touched(call).iter().any(|page| !page.is_mapped);
        let errno = match call.length {
            _ if advice == "77" || !call.is_aligned() => libc::EINVAL,
            1.. if has_hole => libc::ENOMEM,
            _ => 0,
        };
        self.row(advice).note(errno, call.pages());
        if drops(advice) && call.length > 0 {
            self.look(call, advice);
        }
        if errno == libc::EINVAL {
            return errno;
        }
        let mut fell = 0;
        for page in self.touched(call) {
            match advice {
                // All that is mapped, whatever lies between.
                _ if drops(advice) => {
                    let was_memory = std::mem::take(&mut page.content) == Content::Memory;
                    fell += u64::from(was_memory);
                    page.returned_by = if was_memory { Some(advice) } else { page.returned_by };
                }
                // Up to the first hole. The kernel makes no event of these faults.
                "populate_write" if !page.is_mapped => break,
                "populate_write" => page.content = Content::Memory,
                // MADV_FREE too: without need for memory nothing leaves.
                _ => {}
            }
        }
        self.row(advice).unmapped += fell;
        errno
    }

    /// Whoever is about to return pages, sees which are resident: of those that were returned before, some came back
    /// without a fault. They are booked to the advice that meets them.
    fn look(&mut self, call: &Call, advice: &'static str) {
        let (mut resident, mut back) = (0, 0);
        for page in self.touched(call).iter_mut().filter(|page| page.content == Content::Memory) {
            resident += 1;
            back += u64::from(page.returned_by.take().is_some());
        }
        let row = self.row(advice);
        row.resident_before += resident;
        row.refaulted += back;
    }

    /// The figures of both; the pages stay this one's.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (advice, row) in &other.advise {
            self.row(advice).add(row);
        }
        self.munmap.add(&other.munmap);
        self.mmap.add(&other.mmap);
        self.faults += other.faults;
        self.timed += other.timed;
    }

    /// What of the summary must be so.
    pub(super) fn expected(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "calls": row.calls, "failed_calls": row.failed, "asked_bytes": row.asked * PAGE,
                "unmapped_bytes": row.unmapped * PAGE, "refaulted_bytes": row.refaulted * PAGE,
                "approximate_calls": 0, "unmeasured_calls": 0,
            })
        };
        let mut advise = serde_json::Map::new();
        for (advice, figures) in &self.advise {
            let mut figures_json = row(figures);
            if drops(advice) {
                figures_json["resident_before_bytes"] = (figures.resident_before * PAGE).into();
            }
            let name = if *advice == "77" { "advice_77" } else { advice };
            advise.insert(name.to_owned(), figures_json);
        }
        let sum = |figure: fn(&Row) -> u64| self.advise.values().map(figure).sum::<u64>();
        let (returned, refaulted) = (sum(|row| row.unmapped) + self.munmap.unmapped, sum(|row| row.refaulted));
        json!({
            "advise": advise,
            "munmap": row(&self.munmap),
            "mmap": {"calls": self.mmap.calls, "failed_calls": self.mmap.failed, "bytes": self.mmap.asked * PAGE},
            "returned_bytes": returned * PAGE,
            "returned_by": "unmapped",
            "refaulted_bytes": refaulted * PAGE,
            "kept_bytes": (returned - refaulted) * PAGE,
            "untracked_bytes": 0,
            "time_to_refault_ns": {"count": self.timed},
            "faults": self.faults,
        })
    }
}
