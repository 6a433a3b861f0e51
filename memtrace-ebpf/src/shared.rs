//! Words in map memory that several CPUs write.
use core::intrinsics::AtomicOrdering;

/// Reads a word that others write, or of which the verifier shall know nothing.
#[inline(always)]
pub fn load(counter: &u64) -> u64 {
    // SAFETY: aligned map memory.
    unsafe { core::ptr::read_volatile(counter) }
}

/// As [`load`].
#[inline(always)]
pub fn load_u32(word: &u32) -> u32 {
    // SAFETY: as in `load`.
    unsafe { core::ptr::read_volatile(word) }
}

/// Adds to a shared counter. An intrinsic because the BPF target has no `AtomicU64::fetch_add`; with the result unused
/// this is BPF_XADD, which 5.10 has.
#[inline(always)]
pub fn add(counter: &mut u64, n: u64) {
    // SAFETY: aligned map memory; every CPU updates it through this function.
    unsafe { core::intrinsics::atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, n) };
}

/// Takes a mark: exactly one of several racing faults gets it. Needs fetching atomics (kernel 5.12).
#[inline(always)]
pub fn take_exact(mark: &mut u64) -> u64 {
    // SAFETY: aligned map memory.
    unsafe { core::intrinsics::atomic_xchg::<u64, { AtomicOrdering::Relaxed }>(mark, 0) }
}

/// Takes a mark on kernels without fetching atomics: two threads completing a fault on the same page within
/// nanoseconds may both get it (benign race: one page counted twice).
#[inline(always)]
pub fn take_racy(mark: &mut u64) -> u64 {
    let taken = *mark;
    *mark = 0;
    taken
}

/// Stores a word to be [`load`]ed again.
#[inline(always)]
pub fn store(cell: &mut u64, value: u64) {
    // SAFETY: plain map memory; volatile so that the compiler does not see through it.
    unsafe { core::ptr::write_volatile(cell, value) };
}

/// Stores a word and loads it back as a number like any other: the verifier does not follow what is in a map. Makes a
/// number of a pointer, and one state of the many in which a loop ends.
#[inline(always)]
pub fn launder(cell: &mut u64, value: u64) -> u64 {
    store(cell, value);
    load(cell)
}
