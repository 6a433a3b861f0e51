//! Safe wrappers over the helpers that read memory and the clock. A failed read is `None`, never 0.
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::BPF_F_USER_STACK;
use aya_ebpf::helpers::generated;
use aya_ebpf::programs::{PerfEventContext, TracePointContext};
use bytemuck::Pod;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use memtrace_common::params::ABSENT;
use memtrace_common::records::{FATAL_FRAMES, FATAL_TEXT_BYTES, GO_COUNTERS};

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

/// Copies bytes (1 to `MOST`) of the current process to `start` (below `STARTS`, a power of two) in the room; 0, or why
/// not. Pages are not faulted in.
#[inline(always)]
pub fn user_bytes<const ROOM: usize, const STARTS: usize, const MOST: usize>(
    room: &mut [u8; ROOM],
    start: u64,
    bytes: u64,
    address: u64,
) -> i64 {
    const { assert!(STARTS.is_power_of_two() && STARTS - 1 + MOST <= ROOM) };
    let start = start & (STARTS as u64 - 1);
    if bytes == 0 || bytes > MOST as u64 {
        return -22;
    }
    let to = room.as_mut_ptr().cast::<core::ffi::c_void>();
    // SAFETY: `start + bytes` is within the room; the helper fails without a fault.
    unsafe { generated::bpf_probe_read_user(to.add(start as usize), bytes as u32, address as *const _) }
}

/// The word at an offset (below `STARTS`, a power of two) in the room, which holds whole words.
#[inline(always)]
pub fn word_at<const ROOM: usize, const STARTS: usize>(room: &[u8; ROOM], at: u64) -> u64 {
    const { assert!(STARTS.is_power_of_two() && STARTS <= ROOM) };
    let at = at & (STARTS as u64 - 1) & !7;
    // SAFETY: within the room, and aligned as that is. Volatile so that the bound stays beside the load.
    unsafe { core::ptr::read_volatile(room.as_ptr().add(at as usize).cast()) }
}

/// Copies the beginning of a text of the current process; how many bytes, 0 where they cannot be read.
#[inline(always)]
pub fn user_text(room: &mut [u8; FATAL_TEXT_BYTES], bytes: u64, address: u64) -> u32 {
    let bytes = if bytes > FATAL_TEXT_BYTES as u64 { FATAL_TEXT_BYTES as u32 } else { bytes as u32 & TEXT_MASK };
    // SAFETY: `bytes` is within the room; the helper fails without a fault.
    let failed = unsafe { generated::bpf_probe_read_user(room.as_mut_ptr().cast(), bytes, address as *const _) };
    if failed == 0 { bytes } else { 0 }
}

/// Copies the user stack of the current task, innermost first; how many bytes, or -errno.
#[inline(always)]
pub fn user_frames(ctx: *mut c_void, frames: &mut [u64; FATAL_FRAMES]) -> i64 {
    const USER: u64 = BPF_F_USER_STACK as u64;
    // SAFETY: `ctx` is the program's own context; the helper writes no more than there is room for.
    unsafe { generated::bpf_get_stack(ctx, frames.as_mut_ptr().cast(), size_of_val(frames) as u32, USER) }
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

/// Says to the verifier what a comparison said.
const TEXT_MASK: u32 = 2 * FATAL_TEXT_BYTES as u32 - 1;
/// Where nearly every kernel keeps a system call's arguments and result: direct loads, chosen only when this kernel's
/// own description says so.
const USUAL: u32 = 16;

/// The `i`th word at `offset` of a system call tracepoint's context; 0 where it cannot be read.
#[inline(always)]
pub fn trace_word(ctx: &TracePointContext, offset: u32, i: usize) -> u64 {
    if offset != USUAL {
        return trace_field(ctx, offset + 8 * i as u32).unwrap_or(0);
    }
    // SAFETY: the kernel bounds context reads at load time (max_ctx_offset); the offset is constant.
    unsafe { core::ptr::read_volatile(ctx.as_ptr().cast::<u64>().add(USUAL as usize / 8 + i)) }
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

/// `tgid << 32 | tid` in the initial pid namespace; see `ids` for what they are called in memtrace's.
#[inline(always)]
pub fn kernel_ids() -> u64 {
    // SAFETY: no arguments.
    unsafe { generated::bpf_get_current_pid_tgid() }
}

#[inline(always)]
pub fn cpu() -> u32 {
    // SAFETY: no arguments.
    unsafe { generated::bpf_get_smp_processor_id() }
}
