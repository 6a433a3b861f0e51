//! What one process did in one stretch of time: kept twice, for the interval and for the whole window.
use super::ledger::{CallLedger, Growth};
use super::span::{HeapSpans, Span};
use crate::event::{AdviseEvent, Call, MapEvent, MapOp};
use memtrace_common::advice;
use memtrace_common::effect::{brk_failed, is_error};
use memtrace_common::sums::{ADVICE, Sums};

/// A process may pass any i32 as advice: beyond this many kinds the rest share one row.
const KINDS: usize = 40;
pub(super) const OTHER_ADVICE: i32 = i32::MIN;

#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Sorted by advice value.
    advise: Vec<(i32, CallLedger)>,
    pub(super) munmap: CallLedger,
    pub(super) mmap: Growth,
    pub(super) mremap: Growth,
    pub(super) brk: Growth,
    pub(super) rss: Span,
    pub(super) heap: HeapSpans,
    pub(super) reclaim_stalls: u64,
    pub(super) reclaim_stall_ns: u64,
    /// Anything happened at all.
    pub(super) active: bool,
}

impl Level {
    pub(super) fn advise(&self) -> &[(i32, CallLedger)] {
        &self.advise
    }

    pub(super) fn apply_advise(&mut self, event: &AdviseEvent) {
        self.observe_call(event.meta.t_ns, &event.call);
        self.row(event.advice).apply(&event.call, advice::unmaps(event.advice));
    }

    pub(super) fn apply_map(&mut self, event: &MapEvent) {
        let call = &event.call;
        self.observe_call(event.meta.t_ns, call);
        match event.op {
            MapOp::Munmap => self.munmap.apply(call, true),
            MapOp::Mmap => {
                let failed = is_error(call.result);
                self.mmap.apply(failed, if failed { 0 } else { signed(call.length_bytes) });
            }
            MapOp::Mremap => {
                let failed = is_error(call.result);
                let grown = event.new_length_bytes.map(|new| signed(new).saturating_sub(signed(call.length_bytes)));
                self.mremap.apply(failed, if failed { 0 } else { grown.unwrap_or(0) });
            }
            MapOp::Brk => {
                let failed = brk_failed(call.address, call.result);
                self.brk.apply(failed, event.brk_delta_bytes.unwrap_or(0));
            }
        }
    }

    pub(super) fn apply_reclaim(&mut self, duration_ns: u64) {
        self.active = true;
        self.reclaim_stalls += 1;
        self.reclaim_stall_ns = self.reclaim_stall_ns.saturating_add(duration_ns);
    }

    /// Adds what the kernel summed.
    pub(super) fn add(&mut self, sums: &Sums) {
        for (value, of) in ADVICE.iter().zip(&sums.advise).filter(|(_, of)| of.calls > 0) {
            self.row(*value).absorb(&of.into());
        }
        if sums.munmap.calls > 0 {
            self.munmap.absorb(&(&sums.munmap).into());
        }
        self.mmap.absorb(&(&sums.mmap).into());
        self.mremap.absorb(&(&sums.mremap).into());
        self.brk.absorb(&(&sums.brk).into());
    }

    /// The latency of some of its calls is an estimate.
    pub(super) fn is_estimated(&self) -> bool {
        self.advise.iter().map(|(_, ledger)| ledger).chain([&self.munmap]).any(CallLedger::is_estimated)
    }

    /// The level of the next interval.
    pub(super) fn next(&self) -> Self {
        Self { rss: self.rss.next(), heap: self.heap.next(), ..Self::default() }
    }

    /// Adds the sums of another process; RSS and heap of two processes are never added.
    pub(super) fn absorb(&mut self, other: &Self) {
        for (value, ledger) in &other.advise {
            self.row(*value).absorb(ledger);
        }
        self.munmap.absorb(&other.munmap);
        self.mmap.absorb(&other.mmap);
        self.mremap.absorb(&other.mremap);
        self.brk.absorb(&other.brk);
        self.reclaim_stalls += other.reclaim_stalls;
        self.reclaim_stall_ns = self.reclaim_stall_ns.saturating_add(other.reclaim_stall_ns);
        self.active |= other.active;
    }

    fn observe_call(&mut self, t_ns: u64, call: &Call) {
        self.active = true;
        if let Some(bytes) = call.rss_before_bytes {
            self.rss.observe(t_ns.saturating_sub(call.duration_ns), bytes);
        }
        if let Some(bytes) = call.rss_after_bytes {
            self.rss.observe(t_ns, bytes);
        }
        if let Some(go) = &call.go {
            self.heap.observe_counters(t_ns, go);
        }
    }

    fn row(&mut self, value: i32) -> &mut CallLedger {
        let found = self.advise.binary_search_by_key(&value, |(v, _)| *v);
        let full = self.advise.len() >= KINDS && advice::name(value).is_none() && value != OTHER_ADVICE;
        match found {
            Ok(at) => &mut self.advise[at].1,
            Err(_) if full => self.row(OTHER_ADVICE),
            Err(at) => {
                self.advise.insert(at, (value, CallLedger::default()));
                &mut self.advise[at].1
            }
        }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
