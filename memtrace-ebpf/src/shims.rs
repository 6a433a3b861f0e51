//! One entry per program; the names are those of the probe catalogue (memtrace/src/host/catalog.rs).
use aya_ebpf::macros::{fentry, fexit, perf_event, raw_tracepoint, tracepoint, uprobe};
use aya_ebpf::programs::{
    FEntryContext, FExitContext, PerfEventContext, ProbeContext, RawTracePointContext, TracePointContext,
};
use memtrace_common::records::fatal_op;
use memtrace_ebpf::probes::{advise, calibrate, exact, fatal, fault, map, oom, reclaim, task, walk, words};
use memtrace_ebpf::{kread, params, shared};

macro_rules! tp {
    ($($name:ident => $body:expr;)*) => {$(
        #[tracepoint]
        pub fn $name(ctx: TracePointContext) -> u32 {
            let run: fn(&TracePointContext) = $body;
            run(&ctx);
            0
        }
    )*};
}

tp! {
    madvise_in => advise::madvise_enter;
    advise_out => advise::exit;
    pmadvise_in => advise::process_madvise_enter;
    mmap_in => map::mmap_enter;
    map_out => map::exit;
    munmap_in => map::munmap_enter;
    mremap_in => map::mremap_enter;
    brk_in => map::brk_enter;
    memcg_in => reclaim::memcg_begin;
    memcg_out => reclaim::memcg_end;
    direct_in => reclaim::direct_begin;
    direct_out => reclaim::direct_end;
    mark_victim => oom::mark_victim;
    calib_cpus => calibrate::cpu_offsets;
    calib_map => calibrate::direct_map;
}

/// The same for the functions behind the calls: a program each, since each is loaded for one function.
macro_rules! function {
    ($($enter:ident => $entered:expr, $exit:ident => $left:expr;)*) => {$(
        #[fentry]
        pub fn $enter(ctx: FEntryContext) -> i32 {
            $entered(&ctx);
            0
        }

        #[fexit]
        pub fn $exit(ctx: FExitContext) -> i32 {
            $left(&ctx);
            0
        }
    )*};
}

function! {
    fn_madvise_in => advise::madvise_enter, fn_madvise_out => advise::exit;
    fn_pmadvise_in => advise::process_madvise_enter, fn_pmadvise_out => advise::exit;
    fn_mmap_in => map::mmap_enter, fn_mmap_out => map::exit;
    fn_munmap_in => map::munmap_enter, fn_munmap_out => map::exit;
    fn_mremap_in => map::mremap_enter, fn_mremap_out => map::exit;
    fn_brk_in => map::brk_enter, fn_brk_out => map::exit;
}

#[raw_tracepoint]
pub fn sig_generate(ctx: RawTracePointContext) -> i32 {
    oom::signal_generate(&ctx);
    0
}

#[raw_tracepoint]
pub fn sig_deliver(ctx: RawTracePointContext) -> i32 {
    words::signal_deliver(&ctx);
    0
}

#[raw_tracepoint]
pub fn sig_walk(ctx: RawTracePointContext) -> i32 {
    walk::signal_deliver(&ctx);
    0
}

#[raw_tracepoint]
pub fn task_fork(ctx: RawTracePointContext) -> i32 {
    task::fork(&ctx);
    0
}

#[raw_tracepoint]
pub fn task_exec(_ctx: RawTracePointContext) -> i32 {
    task::exec();
    0
}

#[raw_tracepoint]
pub fn task_exit(_ctx: RawTracePointContext) -> i32 {
    // The digest must be in the object; this is the least travelled program that always loads.
    if params::layout_digest() == 0 {
        return 0;
    }
    task::exit();
    0
}

#[raw_tracepoint]
pub fn page_free(ctx: RawTracePointContext) -> i32 {
    exact::page_free(&ctx);
    0
}

/// One program per function of Go's runtime that ends the process.
macro_rules! fatal {
    ($($name:ident => $run:expr;)*) => {$(
        #[uprobe]
        pub fn $name(ctx: ProbeContext) -> u32 {
            let run: fn(&ProbeContext) = $run;
            run(&ctx);
            0
        }
    )*};
}

fatal! {
    go_throw => |ctx| fatal::throw(ctx, fatal_op::THROW);
    go_fatal => |ctx| fatal::throw(ctx, fatal_op::FATAL);
    go_panic => |ctx| fatal::panic(ctx, 0);
    // Before Go 1.26 a `_panic` begins with `argp`.
    go_panic_old => |ctx| fatal::panic(ctx, 8);
}

/// One program per way a thread came by its event, and again for kernels before 5.12 (no fetching atomics).
macro_rules! fault {
    ($($name:ident => $event:expr, $take:expr;)*) => {$(
        #[perf_event]
        pub fn $name(ctx: PerfEventContext) -> u32 {
            fault::fault(kread::fault_address(&ctx), $event, $take);
            0
        }
    )*};
}

fault! {
    fault_task => fault::FIRST, shared::take_exact;
    fault_late => fault::LATE, shared::take_exact;
    fault_task_old => fault::FIRST, shared::take_racy;
    fault_late_old => fault::LATE, shared::take_racy;
}

/// Raw `page_fault_user(unsigned long address, struct pt_regs *regs, unsigned long error_code)`.
#[raw_tracepoint]
pub fn fault_host(ctx: RawTracePointContext) -> i32 {
    fault::fault(ctx.arg(0), fault::BEFORE, shared::take_exact);
    0
}

/// The same for kernels before 5.12.
#[raw_tracepoint]
pub fn fault_host_old(ctx: RawTracePointContext) -> i32 {
    fault::fault(ctx.arg(0), fault::BEFORE, shared::take_racy);
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
