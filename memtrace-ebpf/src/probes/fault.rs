//! Completed page faults of targets: counted, and matched against returned pages. Aggregated here, never one record each.
use crate::marks;
use crate::pagetable::{self, Upper};
use crate::{ids, kread, maps, param, shared, tables, task};
use memtrace_common::log2;
use memtrace_common::refault::{BUCKETS, CHUNK_PAGES, ChunkKey, FaultStats, mark};

/// How the thread came by its event. A thread that was found while its process's threads were being attached may have
/// two: one inherited from its maker, one of its own. Both fire back to back on one CPU, and one must count.
pub const FIRST: u32 = 1;
pub const LATE: u32 = 2;
/// The whole host's hook, which fires before the fault is handled: what came cannot be seen yet.
pub const BEFORE: u32 = 3;

/// The last fault counted on this CPU, and by which kind of event.
#[repr(C)]
pub struct Last {
    address: u64,
    tid: u32,
    event: u32,
}

/// `take` removes a mark and says what it was; see `shared::take_exact` and `shared::take_racy`.
#[inline(always)]
pub fn fault(address: u64, event: u32, take: impl Fn(&mut u64) -> u64) {
    let (tgid, tid) = ids::current();
    let Some(faults) = maps::faults(tgid) else { return };
    let Some(last) = maps::last_fault() else { return };
    if last.tid == tid && last.address == address && last.event != event {
        last.tid = 0;
        return;
    }
    *last = Last { address, tid, event };
    shared::add(&mut faults.faults, 1);
    if let Some(activity) = maps::activity(faults.target) {
        shared::add(&mut activity.faults, 1);
    }
    if faults.outstanding_pages == 0 {
        return;
    }
    let page = address >> param!(mm.page_shift);
    let chunk = page / CHUNK_PAGES as u64;
    let key = ChunkKey { chunk, target: faults.target, epoch: faults.epoch };
    let Some(marks) = maps::chunk(&key) else { return };
    let slot = &mut marks[(page % CHUNK_PAGES as u64) as usize];
    if shared::load(slot) == 0 {
        return;
    }
    let came = if event == BEFORE { Came::Page } else { what_came(address) };
    if came == Came::Nothing {
        return;
    }
    let taken = take(slot);
    if taken == 0 {
        return;
    }
    let now = kread::now();
    came_back(faults, taken, 1, now);
    if came == Came::Chunk {
        let others = marks::take_chunk(chunk, key.target as u64 | (key.epoch as u64) << 32);
        came_back(faults, taken, others, now);
    }
}

/// What a handled fault brought.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    /// The zero page, for a read: no memory, and the mark stays for the write to come.
    Nothing,
    Page,
    /// A huge page: its whole chunk, with one fault.
    Chunk,
}

/// Looks at the page tables; where these cannot be read, it was the page.
#[inline(always)]
fn what_came(address: u64) -> Came {
    let pgd = task::mm(kread::current_task()).and_then(|mm| kread::pointer(mm, param!(mm.pgd)));
    let Some(pgd) = pgd else { return Came::Page };
    match tables::last_level(pgd, address) {
        Upper::Huge => Came::Chunk,
        Upper::Nothing => Came::Page,
        Upper::Table(table) => match kread::kernel::<u64>(table + pagetable::index(address, 1) * 8) {
            Some(entry) if pagetable::resident(entry, pagetable::bits(param!(mm.page_tables))) == 0 => Came::Nothing,
            _ => Came::Page,
        },
    }
}

#[inline(always)]
fn came_back(faults: &mut FaultStats, taken: u64, pages: u64, now: u64) {
    if pages == 0 {
        return;
    }
    let after_ns = now.wrapping_sub(mark::t_ns(taken));
    shared::add(&mut faults.outstanding_pages, pages.wrapping_neg());
    shared::add(&mut faults.refaulted_pages[mark::group(taken)], pages);
    shared::add(&mut faults.log2_ns[log2::bucket(after_ns, 0, BUCKETS)], pages);
    if after_ns > faults.max_ns {
        faults.max_ns = after_ns;
    }
}
