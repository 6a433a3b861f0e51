//! Start-up only: what this kernel's data symbols would tell us, learned without them (KALLSYMS_ALL=n hides them).
//!
//! The calibrating process calls `madvise(page, window, CALIBRATE_ADVICE)`, which every kernel refuses.
use crate::pagetable::{self, Upper};
use crate::tables::last_level_at;
use crate::{ids, kread, maps, param, shared};
use aya_ebpf::programs::TracePointContext;
use memtrace_common::host::{CALIBRATE_ADVICE, CALIBRATE_WINDOW, CALIBRATE_WORD, DIRECT_MAP_STEP};

const MAX_CPUS: u32 = 512;

/// The page's address and the window number, if this is the calibrating process's magic call.
#[inline(always)]
fn magic(ctx: &TracePointContext) -> Option<(u64, u64)> {
    let (tgid, _) = ids::current();
    if maps::host()?.calibrate_tgid != tgid as u64 {
        return None;
    }
    let args = param!(trace.sys_enter_args);
    if kread::trace_field::<u64>(ctx, args + 16)? as i32 != CALIBRATE_ADVICE {
        return None;
    }
    Some((kread::trace_field(ctx, args)?, kread::trace_field(ctx, args + 8)?))
}

/// Each CPU's per-CPU offset: where an element of our own per-CPU map is for that CPU, less its per-CPU address
/// (`bpf_array.pptrs[0]`). Needs bpf_map_lookup_percpu_elem (5.18); only kernels from 6.2 on need the answer.
pub fn cpu_offsets(ctx: &TracePointContext) {
    if magic(ctx).is_none() {
        return;
    }
    let Some(host) = maps::host() else { return };
    let mut found = 0;
    for cpu in 0..MAX_CPUS {
        if cpu >= param!(mm.cpus) {
            break;
        }
        let (element, map) = maps::scratch_addresses(cpu);
        let Some(cell) = maps::cpu_offset(cpu) else { return };
        // Through memory, so that the verifier sees numbers instead of pointers.
        let element = shared::launder(cell, element);
        let map = shared::launder(cell, map);
        *cell = 0;
        if element == 0 {
            return;
        }
        let Some(base) = kread::pointer(map, param!(mm.bpf_array_pptrs)) else { return };
        *cell = element.wrapping_sub(base);
        found += 1;
    }
    host.cpus_found = found;
}

/// The direct map's base: the candidate from which the page tables lead to the caller's own page with its magic word.
pub fn direct_map(ctx: &TracePointContext) {
    let Some((page, window)) = magic(ctx) else { return };
    let Some(host) = maps::host() else { return };
    if host.direct_map != 0 {
        return;
    }
    let Some(mm) = crate::task::mm(kread::current_task()) else { return };
    let Some(pgd) = kread::pointer(mm, param!(mm.pgd)) else { return };
    host.pgd = pgd;
    let highest = pgd & !(DIRECT_MAP_STEP - 1);
    for i in 0..CALIBRATE_WINDOW {
        let base = highest.wrapping_sub((window * CALIBRATE_WINDOW + i) * DIRECT_MAP_STEP);
        if try_base(base, pgd, page) {
            host.direct_map = base;
            return;
        }
    }
}

#[inline(always)]
fn try_base(base: u64, pgd: u64, page: u64) -> bool {
    let Upper::Table(table) = last_level_at(base, pgd, page) else { return false };
    let Some(entry) = kread::kernel::<u64>(table + pagetable::index(page, 1) * 8) else { return false };
    let kind = param!(mm.page_tables);
    if pagetable::resident(entry, pagetable::bits(kind)) == 0 {
        return false;
    }
    kread::kernel::<u64>(base.wrapping_add(pagetable::frame(kind, entry))) == Some(CALIBRATE_WORD)
}
