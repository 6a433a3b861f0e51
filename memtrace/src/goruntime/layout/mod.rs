//! Where the fields of Go's runtime structures are, for one release and architecture.
use fields::layout;

pub mod dwarf;
mod fields;
pub mod signature;
pub mod table;

pub use fields::Field;

layout! {
    /// `mstats` (Go mstats.go), the type of `runtime.memstats`.
    Mstats mstats "runtime.mstats" {
        heap_stats: "heapStats",
        stacks_sys: "stacks_sys",
        mspan_sys: "mspan_sys",
        mcache_sys: "mcache_sys",
        buckhash_sys: "buckhash_sys",
        gc_misc_sys: "gcMiscSys",
        other_sys: "other_sys",
        last_gc_unix: "last_gc_unix",
        last_gc_nanotime: "last_gc_nanotime",
        pause_total_ns: "pause_total_ns",
        pause_ns: "pause_ns",
        pause_end: "pause_end",
        numgc: "numgc",
        numforcedgc: "numforcedgc",
        gc_cpu_fraction: "gc_cpu_fraction",
        enablegc: "enablegc",
    }
    /// `heapStatsDelta` (Go mstats.go): three of them are at the start of `memstats.heapStats`.
    Delta delta "runtime.heapStatsDelta" {
        committed: "committed",
        released: "released",
        in_heap: "inHeap",
        in_stacks: "inStacks",
        in_work_bufs: "inWorkBufs",
        tiny_alloc_count: "tinyAllocCount",
        large_alloc: "largeAlloc",
        large_alloc_count: "largeAllocCount",
        small_alloc_count: "smallAllocCount",
        large_free: "largeFree",
        large_free_count: "largeFreeCount",
        small_free_count: "smallFreeCount",
        // Up to Go 1.24.
        in_ptr_scalar_bits (optional): "inPtrScalarBits",
    }
    /// `gcControllerState` (Go mgcpacer.go).
    GcController gc "runtime.gcControllerState" {
        gc_percent: "gcPercent",
        memory_limit: "memoryLimit",
        gc_percent_heap_goal: "gcPercentHeapGoal",
        sweep_dist_min_trigger: "sweepDistMinTrigger",
        triggered: "triggered",
        heap_live: "heapLive",
        heap_marked: "heapMarked",
        last_heap_goal: "lastHeapGoal",
        heap_in_use: "heapInUse",
        heap_released: "heapReleased",
        heap_free: "heapFree",
        total_alloc: "totalAlloc",
        total_free: "totalFree",
        mapped_ready: "mappedReady",
    }
    /// `mheap` (Go mheap.go).
    Mheap mheap "runtime.mheap" {
        pages: "pages",
        sweepgen: "sweepgen",
        allspans: "allspans",
        pages_in_use: "pagesInUse",
        pages_swept: "pagesSwept",
        sweep_pages_per_byte: "sweepPagesPerByte",
        reclaim_credit: "reclaimCredit",
        arenas: "arenas",
        all_arenas: "allArenas|heapArenas",
        cur_arena: "curArena",
        spanalloc: "spanalloc",
        cachealloc: "cachealloc",
    }
    /// `pageAlloc` (Go mpagealloc.go), in `mheap.pages`.
    PageAlloc page_alloc "runtime.pageAlloc" {
        summary: "summary",
        chunks: "chunks",
        start: "start",
        end: "end",
        in_use: "inUse",
        scav_index (optional): "scav.index",
        released_background (optional): "scav.releasedBg|scav.released",
        released_eager (optional): "scav.releasedEager",
    }
    /// `scavengeIndex` (Go mgcscavenge.go).
    ScavengeIndex scavenge_index "runtime.scavengeIndex" {
        chunks: "chunks",
    }
    /// `pallocData` (Go mpallocbits.go): the bitmaps of one 4 MiB chunk.
    PallocData palloc_data "runtime.pallocData" {
        alloc: "pallocBits",
        scavenged: "scavenged",
    }
    /// `addrRanges` (Go mranges.go).
    AddrRanges addr_ranges "runtime.addrRanges" {
        ranges: "ranges",
    }
    /// `fixalloc` (Go mfixalloc.go).
    Fixalloc fixalloc "runtime.fixalloc" {
        size: "size",
        inuse: "inuse",
    }
    /// `mspan` (Go mheap.go).
    Mspan mspan "runtime.mspan" {
        start_addr: "startAddr",
        npages: "npages",
        nelems: "nelems",
        // Its width: 8 up to Go 1.21, 2 since.
        nelems_bytes: "nelems#",
        alloc_count: "allocCount",
        spanclass: "spanclass",
        state: "state",
        needzero: "needzero",
        alloc_count_before_cache: "allocCountBeforeCache",
        elemsize: "elemsize",
        sweepgen: "sweepgen",
    }
    /// `heapArena` (Go mheap.go): metadata of a 64 MiB arena.
    HeapArena heap_arena "runtime.heapArena" {
        spans: "spans",
    }
    /// `p` (Go runtime2.go).
    P p "runtime.p" {
        id: "id",
        status: "status",
        mcache: "mcache",
        pcache: "pcache",
        gfree_count: "gFree.n|gFree.size",
    }
    /// `pageCache` (Go mpagecache.go).
    PageCache page_cache "runtime.pageCache" {
        base: "base",
        cache: "cache",
        scav: "scav",
    }
    /// `mcache` (Go mcache.go).
    Mcache mcache "runtime.mcache" {
        tiny_allocs: "tinyAllocs",
        alloc: "alloc",
        stackcache: "stackcache",
        flush_gen: "flushGen",
    }
    /// `stackfreelist` (Go mcache.go): free stacks of one size.
    StackFreeList stack_free_list "runtime.stackfreelist" {
        size: "size",
    }
    /// `g` (Go runtime2.go).
    G g "runtime.g" {
        stack: "stack",
        atomicstatus: "atomicstatus",
        goid: "goid",
        waitreason: "waitreason",
        waitsince: "waitsince",
        startpc: "startpc",
        gopc: "gopc",
        m: "m",
        parent_goid (optional): "parentGoid",
    }
    /// `m` (Go runtime2.go).
    M m "runtime.m" {
        g0: "g0",
        alllink: "alllink",
        procid: "procid",
    }
    /// `schedt` (Go runtime2.go), the type of `runtime.sched`.
    Sched sched "runtime.schedt" {
        ngsys: "ngsys",
        gfree_stack: "gFree.n|gFree.stack.size",
        gfree_no_stack (optional): "gFree.noStack.size",
        mnext: "mnext",
        nmfreed: "nmfreed",
    }
    /// The unnamed type of `runtime.scavenge` (Go mgcscavenge.go).
    Scavenge scavenge "struct { runtime.gcPercentGoal " {
        gc_percent_goal: "gcPercentGoal",
        memory_limit_goal: "memoryLimitGoal",
        assist_time (optional): "assistTime",
        background_time (optional): "backgroundTime",
    }
    /// `workType` (Go mgc.go), the type of `runtime.work`.
    Work work "runtime.workType" {
        cycles: "cycles",
        heap0: "heap0",
        heap1: "heap1",
        heap2: "heap2",
    }
    /// `bucket` (Go mprof.go), before its stack and its record.
    Bucket bucket "runtime.bucket" {
        allnext: "allnext",
        typ: "typ",
        size: "size",
        nstk: "nstk",
    }
    /// `memRecord` (Go mprof.go).
    MemRecord mem_record "runtime.memRecord" {
        active: "active",
        future: "future",
    }
    /// `memRecordCycle` (Go mprof.go).
    MemRecordCycle mem_record_cycle "runtime.memRecordCycle" {
        allocs: "allocs",
        frees: "frees",
        // Up to Go 1.26; since then the bucket's size times the count.
        alloc_bytes (optional): "alloc_bytes",
        free_bytes (optional): "free_bytes",
    }
    /// The unnamed type of `runtime.gcBitsArenas` (Go mheap.go).
    GcBitsArenas gc_bits_arenas "struct { runtime.lock runtime.mutex; runtime.free *runtime.gcBitsArena" {
        free: "free",
        next: "next",
        current: "current",
        previous: "previous",
    }
    /// `gcBitsArena` (Go mheap.go).
    GcBitsArena gc_bits_arena "runtime.gcBitsArena" {
        next: "next",
    }
    /// `moduledata` (Go symtab.go).
    Moduledata moduledata "runtime.moduledata" {
        text: "text",
        etext: "etext",
        noptrdata: "noptrdata",
        enoptrdata: "enoptrdata",
        data: "data",
        edata: "edata",
        bss: "bss",
        ebss: "ebss",
        noptrbss: "noptrbss",
        enoptrbss: "enoptrbss",
        gofunc: "gofunc",
    }
}
