//! Kernel memory: page tables, in words.
use bytemuck::Pod;
use std::cell::RefCell;
use std::collections::HashMap;

pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
pub(crate) const PGD: u64 = DIRECT_MAP + 0x1000;
/// Present and writable.
const TABLE: u64 = 3;

thread_local! { static WORDS: RefCell<HashMap<u64, u64>> = RefCell::default(); }

/// Sets the last-level entry of a page, under tables made where there are none yet.
pub(crate) fn set_entry(page: u64, entry: u64) {
    WORDS.with_borrow_mut(|words| {
        let mut table = PGD;
        for level in [4, 3, 2] {
            let physical = 0x1000 * (words.len() as u64 + 2);
            let slot = table + crate::pagetable::index(page << 12, level) * 8;
            table = DIRECT_MAP + (*words.entry(slot).or_insert(physical | TABLE) & !0xfff);
        }
        words.insert(table + crate::pagetable::index(page << 12, 1) * 8, entry);
    });
}

pub(crate) fn clear() {
    WORDS.with_borrow_mut(HashMap::clear);
}

fn word(address: u64) -> u64 {
    WORDS.with_borrow(|words| words.get(&address).copied().unwrap_or(0))
}

pub(crate) fn kernel<T: Pod>(address: u64) -> Option<T> {
    bytemuck::try_pod_read_unaligned(&word(address).to_ne_bytes()).ok()
}

pub(crate) fn kernel_entries(to: &mut [u64; 512], count: u32, address: u64) -> bool {
    (0_u64..).zip(to.iter_mut().take(count as usize)).for_each(|(at, entry)| *entry = word(address + at * 8));
    count > 0 && count <= 512
}
