//! What all traced memory calls have in common: the state kept from enter to exit, RSS at both ends, who else was there.
use crate::counters::{Outcome, count};
use crate::emit::About;
use crate::inflight::{InFlight, STALE_NS, Seen};
use crate::range::{Pages, page_align, untagged};
use crate::target::Observed;
use crate::{ids, kread, maps, param, rss, shared, task};
use core::ffi::c_void;
use memtrace_common::UNKNOWN;
use memtrace_common::header::flags;
use memtrace_common::names::Hook;
use memtrace_common::records::Call;
use memtrace_common::target::SELF_TEST;
use memtrace_common::target::flags::THREADS;

/// What the call was asked to do.
pub struct Asked {
    pub op: u32,
    pub address: u64,
    pub length: u64,
    pub extra: u64,
    pub extra2: u64,
}

/// Notes a target's call in its slot; the caller may add to what is returned. `None`: not recorded, and counted.
#[inline(always)]
pub fn enter(hook: Hook, who: Observed, asked: Asked) -> Option<&'static mut InFlight> {
    let now = kread::now();
    let thread = ids::thread();
    let Some(slot) = maps::slot(thread) else {
        count(hook, Outcome::ReadFailed);
        return None;
    };
    if slot.thread != 0 && slot.thread != thread && now.wrapping_sub(slot.t_ns) < STALE_NS {
        count(hook, Outcome::ReadFailed);
        aya_log_ebpf::debug!((), "tid {} cannot be recorded: tid {} is in its slot", thread, slot.thread);
        return None;
    }
    slot.thread = thread;
    slot.op = asked.op;
    slot.t_ns = now;
    slot.address = untagged(asked.address);
    slot.length = asked.length;
    slot.extra = asked.extra;
    slot.extra2 = asked.extra2;
    slot.go_counters = who.target.go_counters;
    slot.target = who.target.id;
    slot.resident = UNKNOWN;
    slot.marked = 0;
    slot.freed = 0;
    if who.target.mm == 0 {
        who.target.mm = task::mm(kread::current_task()).unwrap_or(0);
    }
    slot.mm = who.target.mm;
    slot.threads = who.target.flags & THREADS;
    if let Some(activity) = maps::activity(who.target.id) {
        let seen = Seen {
            enters: shared::load(&activity.enters),
            exits: shared::load(&activity.exits),
            faults: shared::load(&activity.faults),
        };
        shared::add(&mut activity.enters, 1);
        slot.crowded = (seen.enters != seen.exits) as u32;
        slot.activity = seen;
    }
    let before = if slot.mm == 0 { None } else { rss::pages(slot.mm, &mut slot.counters) };
    slot.rss_known = before.is_some() as u32;
    slot.rss_before = before.unwrap_or(0);
    Some(slot)
}

/// Whether the process has threads that could interfere with a call.
#[inline(always)]
pub fn has_company(slot: &InFlight) -> bool {
    slot.threads != 0
}

/// The slot of the current thread's call, if it is one of `ours`; anything else is not a target's and counted so.
#[inline(always)]
pub fn leaving(hook: Hook, ours: impl Fn(u32) -> bool) -> Option<&'static mut InFlight> {
    let thread = ids::thread();
    match maps::slot(thread) {
        Some(slot) if slot.thread == thread && ours(slot.op) => Some(slot),
        _ => {
            count(hook, Outcome::Filtered);
            None
        }
    }
}

/// The other end of [`enter`].
pub struct Done {
    pub t_ns: u64,
    pub result: i64,
    pub rss_after: u64,
    pub flags: u32,
    /// By how many pages RSS fell; negative when it grew; 0 when unknown.
    pub fell: i64,
}

impl Done {
    #[inline(always)]
    pub fn read(slot: &mut InFlight, result: i64) -> Self {
        let after = if slot.rss_known == 1 { rss::pages(slot.mm, &mut slot.counters) } else { None };
        let mut bits = if after.is_some() { flags::RSS } else { 0 };
        if !alone(slot) {
            bits |= flags::CONCURRENT;
        }
        let rss_after = after.unwrap_or(0);
        let fell = if after.is_some() { slot.rss_before as i64 - rss_after as i64 } else { 0 };
        Self { t_ns: kread::now(), result, rss_after, flags: bits, fell }
    }

    /// RSS did not fall by these pages although nobody was seen to interfere: in a process with company a fault was
    /// half-way. Its event is yet to come, but its page was counted; or a whole batch of pages was on its way from the
    /// CPU's part of the counter to the common one (`percpu_counter_add_batch`). What was counted in page tables is right.
    #[inline(always)]
    pub fn doubt(&mut self, slot: &InFlight, pages: u64) {
        if self.fell != pages as i64 && has_company(slot) {
            self.flags |= flags::CONCURRENT;
        }
    }

    #[inline(always)]
    pub fn concurrent(&self) -> bool {
        self.flags & flags::CONCURRENT != 0
    }
}

/// Whether nobody else faulted in the process or changed its mappings since enter.
#[inline(always)]
fn alone(slot: &InFlight) -> bool {
    let Some(activity) = maps::activity(slot.target) else { return false };
    let was = slot.activity;
    let alone = slot.crowded == 0
        && shared::load(&activity.enters) == was.enters + 1
        && shared::load(&activity.exits) == was.exits
        && shared::load(&activity.faults) == was.faults;
    shared::add(&mut activity.exits, 1);
    // Without fault tracking other threads' faults go unseen: only a process without any can be sure.
    alone && (param!(switches.faults) == 1 || !has_company(slot))
}

/// The pages the call is about.
#[inline(always)]
pub fn pages(address: u64, length: u64) -> Option<Pages> {
    Pages::new(untagged(address), page_align(length, param!(mm.page_shift)), param!(mm.page_shift))
}

#[inline(always)]
pub fn about(slot: &InFlight, done: &Done, kind: u16) -> About {
    let (tgid, tid) = ids::current();
    About { kind, tgid, tid, target: slot.target, t_ns: done.t_ns, flags: done.flags }
}

/// Fills the common part of a record; whether Go's counters are in it.
#[inline(always)]
pub fn fill(call: &mut Call, slot: &InFlight, done: &Done, stack_id: i64) -> bool {
    call.address = slot.address;
    call.length = page_align(slot.length, param!(mm.page_shift));
    call.result = done.result;
    call.duration_ns = done.t_ns.wrapping_sub(slot.t_ns);
    call.rss_before_pages = slot.rss_before;
    call.rss_after_pages = done.rss_after;
    call.resident_pages = slot.resident;
    call.freed_pages = if param!(switches.exact) == 1 { slot.freed } else { UNKNOWN };
    call.stack_id = stack_id;
    kread::go_counters(&mut call.go, slot.go_counters)
}

/// Whether records of `kind` about this many bytes are wanted.
#[inline(always)]
pub fn wanted(kind: u16, target: u32, length: u64) -> bool {
    if target == SELF_TEST {
        return true;
    }
    param!(switches.families) & (1 << kind) != 0 && length >> param!(mm.page_shift) >= param!(switches.min_pages) as u64
}

#[inline(always)]
pub fn stack(ctx: *mut c_void) -> i64 {
    if param!(switches.stacks) == 1 { maps::user_stack(ctx) } else { -1 }
}
