//! Counts by powers of two, as the kernel side keeps them: what is between is an estimate, linear inside a bucket.

/// Bucket `i` of `n` holds `[2^(first + i), 2^(first + i + 1))`, the first one also what is less, the last one what is more.
pub(super) fn bounds(i: usize, first: usize, n: usize) -> (u64, u64) {
    let low = if i == 0 { 0 } else { 1_u64 << (first + i) };
    let high = if i + 1 == n { u64::MAX } else { 1_u64 << (first + i + 1) };
    (low, high)
}

/// The bucket as far as its values can reach: nothing is more than the most.
pub(super) fn clipped((low, high): (u64, u64), max: u64) -> (u64, u64) {
    (low.min(max), high.min(max.saturating_add(1)))
}

/// `count`: the sum of all buckets.
pub(super) fn quantile(buckets: &[u64], first: usize, count: u64, q: f64, max: u64) -> u64 {
    let wanted = q * count as f64;
    let mut below = 0.0;
    for (i, n) in buckets.iter().enumerate().filter(|(_, n)| **n > 0) {
        let n = *n as f64;
        if below + n >= wanted {
            let (low, high) = clipped(bounds(i, first, buckets.len()), max);
            let inside = (high - low) as f64 * (wanted - below) / n;
            return low.saturating_add(inside as u64).min(max);
        }
        below += n;
    }
    max
}
