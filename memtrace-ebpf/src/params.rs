//! Globals set by the loader before load: constants to the verifier, so code for what this kernel lacks is pruned.
use memtrace_common::layout;
use memtrace_common::params::{
    CgroupOffsets, MmOffsets, Params, PidOffsets, RegisterOffsets, Switches, TaskOffsets, TraceOffsets,
};

#[unsafe(no_mangle)]
static PARAMS: Params = initial();

/// On the host, for tests: an x86-64 machine.
const fn initial() -> Params {
    let mut params: Params = bytemuck::must_cast([0u8; size_of::<Params>()]);
    if cfg!(test) {
        params.mm.page_shift = 12;
        params.mm.page_tables = memtrace_common::host::page_tables::X86_64;
    }
    params
}

/// Read back from the object by the loader: a mismatch refuses to start.
#[unsafe(no_mangle)]
static LAYOUT_DIGEST: u64 = layout::DIGEST;

macro_rules! section {
    ($name:ident, $field:ident, $t:ty) => {
        #[inline(always)]
        pub fn $name(field: impl FnOnce(*const $t) -> *const u32) -> u32 {
            // SAFETY: `field` projects within PARAMS, which is never written here; volatile because the loader
            // patches it after the compiler has seen its zeros.
            unsafe { core::ptr::read_volatile(field(&raw const PARAMS.$field)) }
        }
    };
}

section!(task_raw, task, TaskOffsets);
section!(pid_raw, pids, PidOffsets);
section!(mm_raw, mm, MmOffsets);
section!(cgroup_raw, cgroup, CgroupOffsets);
section!(trace_raw, trace, TraceOffsets);
section!(register_raw, registers, RegisterOffsets);
section!(switch_raw, switches, Switches);

/// `param!(mm.rss_stat)`: one start-up parameter.
#[macro_export]
macro_rules! param {
    (task.$f:ident) => {
        $crate::params::task_raw(|p| $crate::project!(p, $f))
    };
    (pids.$f:ident) => {
        $crate::params::pid_raw(|p| $crate::project!(p, $f))
    };
    (mm.$f:ident) => {
        $crate::params::mm_raw(|p| $crate::project!(p, $f))
    };
    (cgroup.$f:ident) => {
        $crate::params::cgroup_raw(|p| $crate::project!(p, $f))
    };
    (trace.$f:ident) => {
        $crate::params::trace_raw(|p| $crate::project!(p, $f))
    };
    (registers.$f:ident) => {
        $crate::params::register_raw(|p| $crate::project!(p, $f))
    };
    (switches.$f:ident) => {
        $crate::params::switch_raw(|p| $crate::project!(p, $f))
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! project {
    ($p:ident, $f:ident) => {
        // SAFETY: a field of the struct `p` points to.
        unsafe { &raw const (*$p).$f }
    };
}

/// Keeps the digest in the object.
#[inline(always)]
pub fn layout_digest() -> u64 {
    // SAFETY: a plain static.
    unsafe { core::ptr::read_volatile(&raw const LAYOUT_DIGEST) }
}
