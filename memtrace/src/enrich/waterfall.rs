//! One look at all of a process's RSS.
use super::heap::{Heap, segments};
use super::malloc;
use crate::aggregate::waterfall::{Context, FreeSlots, Process, Tally, Waterfall, own_mappings_of_malloc};
use crate::goruntime::mheap::Allocator;
use crate::goruntime::spans::SizeClass;
use crate::goruntime::{Finder, GoBuild, NotRead, Runtime, Sample};
use crate::host::facts::{read_release, read_thp};
use crate::host::mounts::read_tmpfs_devices;
use crate::procfs::ProcError;
use crate::procfs::pagemap::Pagemap;
use crate::procfs::process::{self, Status};
use crate::procfs::vmas::Smaps;

/// A look that leaves more unknown than it should was torn by the running target: it is repeated, so often at most.
const LOOKS: u32 = 3;

pub struct Look {
    pub waterfall: Waterfall,
    /// `None`: see `not_read`.
    pub sample: Option<Sample>,
    pub allocator: Option<Allocator>,
    /// `None`: not Go, or not to be told.
    pub go: Option<GoBuild>,
    /// Why the Go heap is not divided.
    pub not_read: Option<String>,
    pub exe: Option<String>,
    /// RSS as /proc/PID/status counts it, before and after.
    pub status_rss_bytes: [Option<u64>; 2],
    pub smaps_rss_bytes: u64,
    /// This user sees no frames on this kernel.
    pub counts_zero_pages: bool,
}

impl Look {
    /// `finder` knows the files of processes that were looked at before.
    pub fn take(pid: u32, finder: &mut Finder) -> Result<Look, ProcError> {
        // Open first: it stays the page table of this program, whatever becomes of the pid.
        let pagemap = Pagemap::open(pid)?;
        let (go, runtime) = match finder.find(pid) {
            Ok(go) => {
                let runtime = Runtime::attach_to(pid, &go).map_err(NotRead::reason);
                (Some(go.build), runtime)
            }
            Err(why) => (None, Err(why.reason())),
        };
        let mut best = Look::once(pid, &pagemap, &go, runtime.as_ref())?;
        for _ in 1..LOOKS {
            if best.waterfall.is_mostly_known() {
                break;
            }
            let next = Look::once(pid, &pagemap, &go, runtime.as_ref())?;
            if next.waterfall.unknown_bytes < best.waterfall.unknown_bytes {
                best = next;
            }
        }
        Ok(best)
    }

    fn once(
        pid: u32,
        pagemap: &Pagemap,
        go: &Option<GoBuild>,
        runtime: Result<&Runtime, &String>,
    ) -> Result<Look, ProcError> {
        let status = Status::read(pid)?;
        let exe = process::exe(pid).ok().map(|exe| exe.to_string_lossy().into_owned());
        let process = Process { exe: exe.clone(), tmpfs: read_tmpfs_devices(pid) };
        let smaps = Smaps::read(pid)?;
        // Right before the pages are looked at: the target runs on.
        let (heap, not_read) =
            match runtime.map_err(String::clone).and_then(|r| Heap::read(r).map_err(|e| e.to_string())) {
                Ok(heap) => (Some(heap), None),
                Err(why) => (None, Some(why)),
            };
        let context = Context {
            marked_bytes: heap.as_ref().map(|heap| heap.sample.heap_marked),
            thp: read_thp(),
            go_version: go.as_ref().map(|go| go.version.clone()),
            release: read_release(),
            free_slots: heap.as_ref().map(|heap| free_slots(&heap.allocator)).unwrap_or_default(),
            cached_stack_bytes: heap.as_ref().map_or(0, |heap| cached_stack_bytes(&heap.allocator)),
        };
        let known = heap.as_ref().map(Heap::metadata_ranges).unwrap_or_default();
        let blocks = malloc::blocks(pid, pagemap, own_mappings_of_malloc(&smaps, &process), &known);
        let segments = segments(heap.as_ref(), &blocks);
        let tally = Tally::new(&smaps, &process, segments, &context, ::procfs::page_size());
        let waterfall = tally.run(&context, |range, on_run| pagemap.scan(range, on_run))?;
        let after = Status::read(pid)?;
        if status.rss_bytes().is_some() && after.rss_bytes().is_none() {
            // It ended while it was looked at: what was left of its memory is no answer.
            return Err(ProcError::Vanished { pid });
        }
        let (sample, allocator) = heap.map(|heap| (heap.sample, heap.allocator)).unzip();
        Ok(Look {
            waterfall,
            sample,
            allocator,
            go: go.clone(),
            not_read,
            exe,
            status_rss_bytes: [status.rss_bytes(), after.rss_bytes()],
            smaps_rss_bytes: smaps.rss_bytes(),
            counts_zero_pages: !pagemap.tells_zero(),
        })
    }
}

/// The size classes with most free slots.
fn free_slots(allocator: &Allocator) -> Vec<FreeSlots> {
    const NAMED: usize = 3;
    let slots = |class: &SizeClass| {
        let used_ratio = class.occupancy()?;
        Some(FreeSlots { elem_bytes: class.elem_bytes, free_bytes: class.free_bytes, used_ratio })
    };
    let mut all: Vec<FreeSlots> =
        allocator.classes.0.iter().filter(|class| class.free_bytes > 0).filter_map(slots).collect();
    all.sort_by_key(|slots| std::cmp::Reverse(slots.free_bytes));
    all.truncate(NAMED);
    all
}

fn cached_stack_bytes(allocator: &Allocator) -> u64 {
    allocator.p_caches.iter().fold(0, |sum, cache| sum.saturating_add(cache.stack_bytes))
}
