//! As `shared`, for one thread.

pub(crate) fn load(counter: &u64) -> u64 {
    *counter
}

pub(crate) fn add(counter: &mut u64, n: u64) {
    *counter = counter.wrapping_add(n);
}

pub(crate) fn store(cell: &mut u64, value: u64) {
    *cell = value;
}

pub(crate) fn launder(cell: &mut u64, value: u64) -> u64 {
    store(cell, value);
    load(cell)
}
