//! Which pages of a target were returned and have not come back: one mark per page, in chunks.
//!
//! The chunk functions are global BPF functions: verified once each, however often a range loop calls them.
use crate::pagetable::{self, Upper};
use crate::range::{Pages, Piece};
use crate::scratch::{Chunk, Scratch};
use crate::{kread, maps, param, shared, strides, tables};
use memtrace_common::refault::{CHUNK_PAGES, ChunkKey, FaultStats};

/// Chunks walked by one call (1 GiB with 4 KiB pages); what is larger is untracked.
pub const MAX_WALK: u64 = 512;
/// Chunks cleared by one call (32 GiB); what is larger ends the epoch: all marks of the process are dropped.
pub const MAX_CLEAR: u64 = 16384;

/// Whose marks.
#[derive(Clone, Copy)]
pub struct Owner {
    pub target: u32,
    pub epoch: u32,
}

impl Owner {
    #[inline(always)]
    fn pack(self) -> u64 {
        self.target as u64 | (self.epoch as u64) << 32
    }

    #[inline(always)]
    fn key(packed: u64, chunk: u64) -> ChunkKey {
        ChunkKey { chunk, target: packed as u32, epoch: (packed >> 32) as u32 }
    }
}

/// Counts of one walk, in pages.
#[derive(Clone, Copy)]
pub struct Walked {
    pub resident: u64,
    /// Of these, how many now carry the mark; fewer when the table was full.
    pub marked: u64,
    /// Of these, how many still carried an older mark: they had come back without a fault of their own.
    pub unseen: u64,
}

/// Walks `pages` in the page tables under `pgd` and marks the resident ones; `pgd` 0: takes all as resident; `mark` 0:
/// counts only. `None` when the range is too large to walk.
#[inline(always)]
pub fn walk(pgd: u64, pages: &Pages, owner: Owner, mark: u64) -> Option<Walked> {
    if pages.chunks() > MAX_WALK {
        return None;
    }
    let n = strides::mark_range(pgd, pages.first, pages.last, owner.pack(), mark);
    Some(Walked { resident: n & COUNT, marked: (n >> 20) & COUNT, unseen: (n >> 40) & COUNT })
}

/// Removes the marks of `pages`, or only those that are `only` (0: all); returns how many there were, `None` when the
/// range was too large.
#[inline(always)]
pub fn clear(pages: &Pages, owner: Owner, only: u64) -> Option<u64> {
    let fits = pages.chunks() <= MAX_CLEAR;
    if fits { Some(strides::clear_range(pages.first, pages.last, owner.pack(), only)) } else { None }
}

/// [`clear`], with the figures kept right.
#[inline(always)]
pub fn forget(faults: &mut FaultStats, pages: &Pages, returned_elsewhere: bool) {
    if faults.outstanding_pages == 0 {
        return;
    }
    let owner = Owner { target: faults.target, epoch: faults.epoch };
    match clear(pages, owner, 0) {
        Some(cleared) => {
            shared::add(&mut faults.outstanding_pages, cleared.wrapping_neg());
            if returned_elsewhere {
                shared::add(&mut faults.untracked_pages, cleared);
            }
        }
        None => {
            let lost = faults.outstanding_pages;
            shared::add(&mut faults.outstanding_pages, lost.wrapping_neg());
            shared::add(&mut faults.untracked_pages, lost);
            faults.epoch = faults.epoch.wrapping_add(1);
        }
    }
}

/// Three counts of up to 2^18 pages, 20 bits each from the lowest: resident, marked, unseen.
const COUNT: u64 = (1 << 20) - 1;

/// The counts of one chunk. `relative`: see [`Piece::relative`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn mark_chunk(pgd: u64, chunk: u64, relative: u64, owner: u64, mark: u64) -> u64 {
    let Piece { first, last } = Piece::within(relative);
    if last < first {
        return 0;
    }
    let Some(Scratch { entries, words: [pages, first_page, all, count], .. }) = maps::scratch() else { return 0 };
    shared::store(pages, last - first + 1);
    shared::store(first_page, first);
    // All ones where every page is resident whatever `entries` say.
    shared::store(all, u64::MAX);
    shared::store(count, last - first + 1);
    if pgd != 0 {
        match tables::last_level(pgd, (chunk * CHUNK_PAGES as u64) << param!(mm.page_shift)) {
            Upper::Nothing => return 0,
            Upper::Huge => {}
            Upper::Table(table) => {
                let n = shared::load(pages);
                if !kread::kernel_entries(entries, n as u32, table + shared::load(first_page) * 8) {
                    return 0;
                }
                shared::store(all, 0);
                shared::store(count, count_resident(entries, n));
            }
        }
    }
    // From memory: whichever way it came here, the verifier knows the same of these, and so goes on only once. For the
    // same reason no loop has a branch but its end: each would be another state at each turn.
    let resident = shared::load(count);
    if resident == 0 || mark == 0 {
        return resident;
    }
    let Some(marks) = maps::chunk_or_new(&Owner::key(owner, chunk)) else { return resident };
    let (pages, first, all) = (shared::load(pages), shared::load(first_page), shared::load(all));
    let bits = pagetable::bits(param!(mm.page_tables));
    let mut unseen = 0;
    for k in 0..CHUNK_PAGES as u64 {
        if k >= pages {
            break;
        }
        let slot = &mut marks[((first + k) & 511) as usize];
        let old = *slot;
        // Hidden, or the compiler makes a branch of it.
        let here = core::hint::black_box(all | pagetable::resident(entries[(k & 511) as usize], bits).wrapping_neg());
        unseen += pagetable::bit(old & here);
        *slot = old ^ ((old ^ mark) & here);
    }
    resident | resident << 20 | unseen << 40
}

#[inline(always)]
fn count_resident(entries: &Chunk, pages: u64) -> u64 {
    let bits = pagetable::bits(param!(mm.page_tables));
    let mut resident = 0;
    for k in 0..CHUNK_PAGES as u64 {
        if k >= pages {
            break;
        }
        resident += pagetable::resident(entries[(k & 511) as usize], bits);
    }
    resident
}

/// Takes the marks of one chunk's part away; returns how many there were.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn clear_chunk(chunk: u64, relative: u64, owner: u64, only: u64) -> u64 {
    let key = Owner::key(owner, chunk);
    let Piece { first, last } = Piece::within(relative);
    let Some(Scratch { words: [first_page, last_page, ..], .. }) = maps::scratch() else { return 0 };
    // As in `mark_chunk`.
    let (first, last) = (shared::launder(first_page, first), shared::launder(last_page, last));
    let Some(marks) = maps::chunk(&key) else { return 0 };
    let cleared = take_all(marks, first, last, only);
    if only == 0 && shared::load(first_page) == 0 && shared::load(last_page) == CHUNK_PAGES as u64 - 1 {
        maps::remove_chunk(&key);
    }
    cleared
}

#[inline(always)]
fn take_all(marks: &mut Chunk, first: u64, last: u64, only: u64) -> u64 {
    // Hidden from the compiler, which would else drop the mask below as needless; the verifier needs it.
    let last = core::hint::black_box(last);
    let mut taken = 0;
    for k in 0..CHUNK_PAGES as u64 {
        if first + k > last {
            break;
        }
        let slot = &mut marks[((first + k) & 511) as usize];
        let old = *slot;
        let hit = pagetable::bit(old) & (pagetable::bit(only) & pagetable::bit(old ^ only) ^ 1);
        taken += hit;
        *slot = old & hit.wrapping_sub(1);
    }
    taken
}

/// Takes all marks of a chunk that a huge page now covers; returns how many there were besides the faulting page's.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn take_chunk(chunk: u64, owner: u64) -> u64 {
    match maps::chunk(&Owner::key(owner, chunk)) {
        Some(marks) => take_all(marks, 0, CHUNK_PAGES as u64 - 1, 0),
        None => 0,
    }
}

#[cfg(test)]
mod tests;
