//! Safe wrappers over the helpers that read memory and the clock. A failed read is `None`, never 0.
use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated;
use aya_ebpf::programs::{PerfEventContext, TracePointContext};
use bytemuck::Pod;
use core::mem::MaybeUninit;
use memtrace_common::params::ABSENT;
use memtrace_common::records::GO_COUNTERS;

/// Reads a `T` at a kernel address.
#[inline(always)]
pub fn kernel<T: Pod>(address: u64) -> Option<T> {
    // Not zeroed first: that would be a call to a bytewise memset, dearer than the read itself.
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes size_of::<T>() bytes, or fails without a fault; T is valid for every bit pattern.
    unsafe {
        let to = value.as_mut_ptr().cast();
        let failed = generated::bpf_probe_read_kernel(to, size_of::<T>() as u32, address as *const _);
        if failed == 0 { Some(value.assume_init()) } else { None }
    }
}

/// Reads a `T` at a kernel address to where there is room for it.
#[inline(always)]
pub fn kernel_into<T: Pod>(to: &mut T, address: u64) -> bool {
    // SAFETY: as in `kernel`.
    unsafe { generated::bpf_probe_read_kernel((&raw mut *to).cast(), size_of::<T>() as u32, address as *const _) == 0 }
}

/// Reads the kernel pointer at `base + offset`; a null pointer or an absent offset is `None`.
#[inline(always)]
pub fn pointer(base: u64, offset: u32) -> Option<u64> {
    if offset == ABSENT {
        return None;
    }
    match kernel::<u64>(base.wrapping_add(offset as u64)) {
        Some(0) | None => None,
        some => some,
    }
}

/// Reads a `T` at `base + offset`.
#[inline(always)]
pub fn field<T: Pod>(base: u64, offset: u32) -> Option<T> {
    if offset == ABSENT { None } else { kernel(base.wrapping_add(offset as u64)) }
}

/// Copies `count` (1 to 512) page-table entries from a kernel address.
#[inline(always)]
pub fn kernel_entries(to: &mut [u64; 512], count: u32, address: u64) -> bool {
    let bytes = (count & 0x3ff) * 8;
    if bytes == 0 || bytes > 4096 {
        return false;
    }
    // SAFETY: `bytes` is within `to`; the helper fails without a fault.
    unsafe { generated::bpf_probe_read_kernel(to.as_mut_ptr().cast(), bytes, address as *const _) == 0 }
}

/// Reads a `T` of the current process.
#[inline(always)]
pub fn user<T: Pod>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as in `kernel`; the helper does not fault pages in.
    unsafe {
        let to = value.as_mut_ptr().cast();
        let failed = generated::bpf_probe_read_user(to, size_of::<T>() as u32, address as *const _);
        if failed == 0 { Some(value.assume_init()) } else { None }
    }
}

/// The six Go counters of the current process, to where they are wanted: zeros when they cannot be read.
#[inline(always)]
pub fn go_counters(to: &mut [u64; GO_COUNTERS], address: u64) -> bool {
    if address != 0 {
        // SAFETY: as in `user`.
        let failed = unsafe {
            generated::bpf_probe_read_user((&raw mut *to).cast(), size_of_val(to) as u32, address as *const _)
        };
        if failed == 0 {
            return true;
        }
    }
    *to = [0; GO_COUNTERS];
    false
}

/// A field of a classic tracepoint's context. Through the helper, since the verifier allows no direct access at an offset
/// that is not in the instruction itself.
#[inline(always)]
pub fn trace_field<T: Pod>(ctx: &TracePointContext, offset: u32) -> Option<T> {
    field(ctx.as_ptr() as u64, offset)
}

/// Where nearly every kernel keeps a system call's arguments and result: direct loads, chosen only when this kernel's
/// own description says so.
const USUAL: u32 = 16;

/// The `N` words at `offset` of a system call tracepoint's context.
#[inline(always)]
pub fn words<const N: usize>(ctx: &TracePointContext, offset: u32) -> [u64; N]
where
    [u64; N]: Pod,
{
    if offset != USUAL {
        return trace_field(ctx, offset).unwrap_or([0; N]);
    }
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the kernel bounds context reads at load time (max_ctx_offset); the offset is constant.
        *word = unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u64>().add(USUAL as usize / 8 + i)) };
    }
    words
}

/// The faulting address of a page-fault event.
#[inline(always)]
pub fn fault_address(ctx: &PerfEventContext) -> u64 {
    // SAFETY: the kernel passes a valid bpf_perf_event_data; `addr` is read through the verifier's context access.
    unsafe { (*ctx.ctx).addr }
}

/// CLOCK_MONOTONIC in ns.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: no arguments.
    unsafe { generated::bpf_ktime_get_ns() }
}

/// Address of the current `task_struct`.
#[inline(always)]
pub fn current_task() -> u64 {
    // SAFETY: no arguments.
    unsafe { generated::bpf_get_current_task() }
}

/// `(tgid, tid)` in the initial pid namespace.
#[inline(always)]
pub fn current_ids() -> (u32, u32) {
    // SAFETY: no arguments.
    let ids = unsafe { generated::bpf_get_current_pid_tgid() };
    ((ids >> 32) as u32, ids as u32)
}

#[inline(always)]
pub fn cpu() -> u32 {
    // SAFETY: no arguments.
    unsafe { generated::bpf_get_smp_processor_id() }
}
