//! One count per outcome; per CPU, so plain adds are exact (programs of one CPU do not interleave).
use crate::maps;
use memtrace_common::names::Hook;

#[derive(Clone, Copy)]
pub enum Outcome {
    Filtered,
    Submitted,
    RingFull,
    ReadFailed,
}

/// Counts one hit of `hook` and what became of it.
#[inline(always)]
pub fn count(hook: Hook, outcome: Outcome) {
    if let Some(c) = maps::counters(hook as u32) {
        c.hits += 1;
        match outcome {
            Outcome::Filtered => c.filtered += 1,
            Outcome::Submitted => c.submitted += 1,
            Outcome::RingFull => c.ring_full += 1,
            Outcome::ReadFailed => c.read_failed += 1,
        }
    }
}

/// Counts a hit that was submitted; returns how many this CPU has submitted for the hook.
#[inline(always)]
pub fn count_submitted(hook: Hook) -> u64 {
    match maps::counters(hook as u32) {
        Some(c) => {
            c.hits += 1;
            c.submitted += 1;
            c.submitted
        }
        None => 0,
    }
}
