//! What one kind of call asked for and what it really did.
use super::latency::Latency;
use crate::event::Call;
use crate::snapshot::{CallSnapshot, GrowthSnapshot};
use memtrace_common::advice;
use memtrace_common::sums::{CallSums, GrowthSums};

/// Adds what is known; stays absent while nothing is.
pub(super) fn add_known(sum: &mut Option<u64>, value: Option<u64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0).saturating_add(value));
    }
}

/// Advice that can give memory back: the kinds that unmap, MADV_FREE, and any this build does not know.
pub(super) fn gives_back(value: i32) -> bool {
    advice::unmaps(value) || value == advice::FREE || advice::name(value).is_none()
}

#[derive(Clone, Debug, Default)]
pub(super) struct CallLedger {
    calls: u64,
    failed_calls: u64,
    asked_bytes: u64,
    unmapped_bytes: Option<u64>,
    freed_bytes: Option<u64>,
    /// Freed where measured, else unmapped.
    pub(super) returned_bytes: Option<u64>,
    pub(super) returned_by_freed: u64,
    pub(super) returned_by_unmapped: u64,
    approximate_calls: u64,
    unmeasured_calls: u64,
    resident_before_bytes: Option<u64>,
    /// Both sides of the effectiveness ratio, over the same calls.
    pub(super) effective_bytes: u64,
    pub(super) effective_of_bytes: u64,
    latency: Latency,
}

impl CallLedger {
    /// `drops`: success unmaps at once, so that what fell was resident before even if nobody counted it.
    pub(super) fn apply(&mut self, call: &Call, drops: bool) {
        self.calls += 1;
        self.latency.record(call.duration_ns);
        add_known(&mut self.unmapped_bytes, call.unmapped_bytes);
        add_known(&mut self.freed_bytes, call.freed_bytes);
        add_known(&mut self.resident_before_bytes, call.resident_bytes);
        self.approximate_calls += u64::from(call.approximate);
        let returned = call.freed_bytes.or(call.unmapped_bytes);
        add_known(&mut self.returned_bytes, returned);
        self.returned_by_freed += u64::from(call.freed_bytes.is_some());
        self.returned_by_unmapped += u64::from(call.freed_bytes.is_none() && call.unmapped_bytes.is_some());
        self.unmeasured_calls += u64::from(returned.is_none());
        if call.result < 0 {
            self.failed_calls += 1;
            return;
        }
        self.asked_bytes = self.asked_bytes.saturating_add(call.length_bytes);
        let before = call.resident_bytes.or(call.unmapped_bytes.filter(|_| drops));
        if let (Some(before), Some(returned)) = (before, returned) {
            self.effective_bytes = self.effective_bytes.saturating_add(returned.min(before));
            self.effective_of_bytes = self.effective_of_bytes.saturating_add(before);
        }
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed_calls += other.failed_calls;
        self.asked_bytes = self.asked_bytes.saturating_add(other.asked_bytes);
        add_known(&mut self.unmapped_bytes, other.unmapped_bytes);
        add_known(&mut self.freed_bytes, other.freed_bytes);
        add_known(&mut self.returned_bytes, other.returned_bytes);
        self.returned_by_freed += other.returned_by_freed;
        self.returned_by_unmapped += other.returned_by_unmapped;
        self.approximate_calls += other.approximate_calls;
        self.unmeasured_calls += other.unmeasured_calls;
        add_known(&mut self.resident_before_bytes, other.resident_before_bytes);
        self.effective_bytes = self.effective_bytes.saturating_add(other.effective_bytes);
        self.effective_of_bytes = self.effective_of_bytes.saturating_add(other.effective_of_bytes);
        self.latency.absorb(&other.latency);
    }

    pub(super) fn is_estimated(&self) -> bool {
        self.latency.is_estimated()
    }

    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    pub(super) fn snapshot(&self, refaulted_bytes: Option<u64>) -> CallSnapshot {
        CallSnapshot {
            calls: self.calls,
            failed_calls: self.failed_calls,
            asked_bytes: self.asked_bytes,
            unmapped_bytes: self.unmapped_bytes.or((self.calls == 0).then_some(0)),
            freed_bytes: self.freed_bytes,
            refaulted_bytes,
            approximate_calls: self.approximate_calls,
            unmeasured_calls: self.unmeasured_calls,
            resident_before_bytes: self.resident_before_bytes,
            latency: self.latency.snapshot(),
        }
    }
}

impl From<&CallSums> for CallLedger {
    fn from(of: &CallSums) -> Self {
        let known = |sum, calls| (calls > 0).then_some(sum);
        let measured_calls = of.calls.saturating_sub(of.unmeasured_calls);
        Self {
            calls: of.calls,
            failed_calls: of.failed_calls,
            asked_bytes: of.asked_bytes,
            unmapped_bytes: known(of.unmapped_bytes, of.unmapped_calls),
            freed_bytes: known(of.freed_bytes, of.freed_calls),
            returned_bytes: known(of.returned_bytes, measured_calls),
            returned_by_freed: of.freed_calls,
            returned_by_unmapped: measured_calls.saturating_sub(of.freed_calls),
            approximate_calls: of.approximate_calls,
            unmeasured_calls: of.unmeasured_calls,
            resident_before_bytes: known(of.resident_bytes, of.resident_calls),
            effective_bytes: of.effective_bytes,
            effective_of_bytes: of.effective_of_bytes,
            latency: Latency::summed(of.log2_ns, of.max_ns),
        }
    }
}

/// mmap, mremap, brk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth(GrowthSnapshot);

impl Growth {
    pub(super) fn apply(&mut self, failed: bool, delta_bytes: i64) {
        self.0.calls += 1;
        self.0.failed_calls += u64::from(failed);
        let side = if delta_bytes < 0 { &mut self.0.shrunk_bytes } else { &mut self.0.grown_bytes };
        *side = side.saturating_add(delta_bytes.unsigned_abs());
    }

    pub(super) fn absorb(&mut self, other: &Self) {
        self.0.calls += other.0.calls;
        self.0.failed_calls += other.0.failed_calls;
        self.0.grown_bytes = self.0.grown_bytes.saturating_add(other.0.grown_bytes);
        self.0.shrunk_bytes = self.0.shrunk_bytes.saturating_add(other.0.shrunk_bytes);
    }

    pub(super) fn snapshot(&self) -> GrowthSnapshot {
        self.0
    }
}

impl From<&GrowthSums> for Growth {
    fn from(of: &GrowthSums) -> Self {
        let GrowthSums { calls, failed_calls, grown_bytes, shrunk_bytes } = *of;
        Self(GrowthSnapshot { calls, failed_calls, grown_bytes, shrunk_bytes })
    }
}
