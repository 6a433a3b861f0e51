//! Counts by powers of two. What a bucket holds says `memtrace/src/aggregate/log2.rs`, which tells of them.

/// Of `n` buckets the one for `value`: bucket `i` is for `[2^(first + i), 2^(first + i + 1))`, the first also for what is
/// less, the last for what is more.
#[inline(always)]
pub const fn bucket(value: u64, first: usize, n: usize) -> usize {
    let log2 = (63 - (value | 1).leading_zeros()) as usize;
    let bucket = log2.saturating_sub(first);
    if bucket >= n { n - 1 } else { bucket }
}
