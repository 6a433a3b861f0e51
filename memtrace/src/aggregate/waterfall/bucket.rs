//! The buckets' names and what each comes from.

/// Who can give the bytes back without the program changing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimer {
    Go,
    Kernel,
    Both,
}

impl Reclaimer {
    pub fn as_str(self) -> &'static str {
        match self {
            Go => "go",
            Kernel => "kernel",
            Both => "both",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Stable: part of the JSON contract.
    pub name: &'static str,
    /// The same for people.
    pub title: &'static str,
    pub bytes: u64,
    pub evidence: &'static str,
    /// `None`: nobody.
    pub reclaimable_by: Option<Reclaimer>,
    pub advice: Option<String>,
}

impl Bucket {
    /// One of which only name and size were kept; `None`: there is none of that name.
    pub fn named(name: &str, bytes: u64) -> Option<Bucket> {
        let known = Books::default().list().into_iter().find(|bucket| bucket.name == name);
        known.map(|known| Bucket { bytes, ..known })
    }
}

macro_rules! buckets {
    ($($slot:ident $name:literal $title:literal $reclaimer:expr, $evidence:literal;)*) => {
        /// In the order of the account.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Slot { $($slot),* }

        /// Bytes per bucket.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct Books([u64; [$(Slot::$slot),*].len()]);

        impl Default for Books {
            fn default() -> Self {
                Self([0; [$(Slot::$slot),*].len()])
            }
        }

        impl Books {
            pub(super) fn list(&self) -> Vec<Bucket> {
                [$(Bucket {
                    name: $name,
                    title: $title,
                    bytes: self.0[Slot::$slot as usize],
                    evidence: $evidence,
                    reclaimable_by: $reclaimer,
                    advice: None,
                }),*].into()
            }
        }
    };
}

impl Books {
    pub(super) fn add(&mut self, slot: Slot, bytes: u64) {
        let sum = &mut self.0[slot as usize];
        *sum = sum.saturating_add(bytes);
    }

    pub(super) fn get(&self, slot: Slot) -> u64 {
        self.0[slot as usize]
    }

    /// As much as is there; returns how much that was.
    pub(super) fn take(&mut self, slot: Slot, bytes: u64) -> u64 {
        let taken = bytes.min(self.get(slot));
        self.0[slot as usize] -= taken;
        taken
    }

    pub(super) fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, bytes| sum.saturating_add(*bytes))
    }
}

use Reclaimer::{Both, Go, Kernel};

buckets! {
    Live "live_heap" "live heap (after last GC)" None,
        "gcController.heapMarked, its resident part";
    Garbage "garbage_and_floating" "garbage and floating" Some(Go),
        "resident allocated objects less live heap and unswept";
    Unswept "unswept" "unswept" Some(Go),
        "dead objects in spans not swept since the last GC, at most";
    FreeSlots "free_slots" "free slots in used spans" None,
        "mspan.allocCount against slots, resident bytes of each span";
    Rounding "size_class_rounding" "size-class rounding" None,
        "span bytes beyond the last slot; what an object leaves of its slot Go does not record";
    Idle "idle_resident" "idle, resident" Some(Go),
        "page bitmaps: free and not scavenged; pagemap: resident";
    ReleasedThp "released_thp_reinflation" "released: THP re-inflation" Some(Both),
        "page bitmaps: scavenged; pagemap: in a huge page";
    ReleasedLazy "released_lazy_free" "released: lazy (MADV_FREE)" Some(Kernel),
        "page bitmaps: scavenged; smaps LazyFree";
    ReleasedRefaulted "released_refaulted" "released: faulted in again" Some(Go),
        "page bitmaps: scavenged; pagemap: resident in small pages on a host without THP";
    ReleasedUnknown "released_unknown_cause" "released: cause unknown" None,
        "page bitmaps: scavenged; pagemap: resident in small pages";
    StacksUsed "goroutine_stacks_in_use" "goroutine stacks in use" None,
        "stack spans, their resident part";
    StacksFree "goroutine_stacks_free" "goroutine stacks free" Some(Go),
        "free stacks in stack spans and in the Ps' caches";
    Persistent "metadata_persistent" "Go: mspans, mcaches, other" None,
        "persistentalloc chunks: mspan, mcache, profiling buckets, all that is never freed";
    SpanTable "metadata_span_table" "Go: table of spans" None,
        "mheap.allspans";
    GcWork "metadata_gc_work" "Go: GC work buffers" Some(Go),
        "manual spans that are no stacks";
    GcBits "metadata_gc_bits" "Go: GC bits" None,
        "gcBitsArenas: mark and allocation bits";
    PageAllocator "metadata_page_allocator" "Go: page allocator" None,
        "pageAlloc: summaries, bitmaps, scavenge index";
    Arenas "metadata_arenas" "Go: arena metadata" None,
        "mheap.arenas: index and heapArena structures";
    Profiling "metadata_profiling" "Go: profiling hash table" None,
        "buckhash";
    GoNamed "metadata_other" "Go: other runtime memory" None,
        "smaps: mappings the runtime names itself (Go 1.25 and later)";
    Text "binary_text" "binary: text" Some(Kernel),
        "smaps: executable mapping of the executable";
    Rodata "binary_rodata" "binary: rodata" Some(Kernel),
        "smaps: read-only mapping of the executable";
    DataClean "binary_data_clean" "binary: data, unchanged" Some(Kernel),
        "smaps: writable mapping of the executable, file pages";
    DataDirty "binary_data_dirty" "binary: data, written" None,
        "smaps: mappings of the executable, anonymous copies";
    Bss "binary_bss" "binary: bss" None,
        "smaps: anonymous mapping behind the executable's";
    Files "other_file_mappings" "other file mappings" Some(Kernel),
        "smaps: mappings of other files, file pages";
    FilesDirty "other_file_copies" "other files: written copies" None,
        "smaps: private mappings of other files, anonymous copies";
    Shared "shared_memory" "shared memory" None,
        "smaps: mappings of shmem";
    Malloc "cgo_malloc_heaps" "cgo and malloc heaps" None,
        "smaps: [heap], and 64 MiB arenas near the C library; mappings that malloc has written its header into";
    ThreadStacks "thread_stacks" "thread stacks" None,
        "smaps: [stack], and mappings behind a guard near the C library";
    Anonymous "other_anonymous" "other anonymous mappings" None,
        "smaps: anonymous mappings that nothing else claims";
    KernelPages "kernel_mappings" "kernel's own mappings" None,
        "smaps: [vdso] and its like";
    PageRounding "page_rounding" "page rounding" None,
        "pages of which the runtime's range covers only a part";
    Unknown "unknown" "unknown" None,
        "the rest";
}
