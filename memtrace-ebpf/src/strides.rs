//! Loops over the chunks of a range. They are global BPF functions, verified once each, however often they are called.
use crate::marks::{MAX_CLEAR, MAX_WALK, clear_chunk, mark_chunk};
use crate::range::Piece;
use memtrace_common::refault::CHUNK_PAGES;

/// Chunks in a stride. The verifier follows every turn of every loop, once per function: two loops of 64 cost it 128
/// turns and reach 4096 chunks.
const STRIDE: u64 = 64;

/// [`walk`], stride by stride.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_range(pgd: u64, first: u64, last: u64, owner: u64, mark: u64) -> u64 {
    let mut sum = 0;
    let chunk = first / CHUNK_PAGES as u64;
    for i in 0..MAX_WALK / STRIDE {
        let start = chunk + i * STRIDE;
        if start > last / CHUNK_PAGES as u64 {
            break;
        }
        sum += mark_stride(pgd, start, Piece::relative(start, first, last), owner, mark);
    }
    sum
}

/// `relative`: the whole range's ends, from the stride's first page.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_stride(pgd: u64, start: u64, relative: u64, owner: u64, mark: u64) -> u64 {
    let mut sum = 0;
    for i in 0..STRIDE {
        if Piece::begins_after(relative, i) {
            break;
        }
        sum += mark_chunk(pgd, start + i, Piece::shift(relative, i), owner, mark);
    }
    sum
}

/// [`clear`], stride by stride.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clear_range(first: u64, last: u64, owner: u64, only: u64) -> u64 {
    let mut cleared = 0;
    let chunk = first / CHUNK_PAGES as u64;
    for i in 0..MAX_CLEAR / STRIDE {
        let start = chunk + i * STRIDE;
        if start > last / CHUNK_PAGES as u64 {
            break;
        }
        cleared += clear_stride(start, Piece::relative(start, first, last), owner, only);
    }
    cleared
}

/// As [`mark_stride`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clear_stride(start: u64, relative: u64, owner: u64, only: u64) -> u64 {
    let mut cleared = 0;
    for i in 0..STRIDE {
        if Piece::begins_after(relative, i) {
            break;
        }
        cleared += clear_chunk(start + i, Piece::shift(relative, i), owner, only);
    }
    cleared
}
