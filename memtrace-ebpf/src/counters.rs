//! One count per outcome; per CPU, and with atomics: programs behind functions may be preempted by others of their CPU.
use crate::{maps, shared};
use memtrace_common::names::Hook;

#[derive(Clone, Copy)]
pub enum Outcome {
    Filtered,
    Summed,
    Submitted,
    RingFull,
    ReadFailed,
}

/// Counts one hit of `hook` and what became of it.
#[inline(always)]
pub fn count(hook: Hook, outcome: Outcome) {
    if let Some(c) = maps::counters(hook as u32) {
        shared::add(&mut c.hits, 1);
        let became = match outcome {
            Outcome::Filtered => &mut c.filtered,
            Outcome::Summed => &mut c.summed,
            Outcome::Submitted => &mut c.submitted,
            Outcome::RingFull => &mut c.ring_full,
            Outcome::ReadFailed => &mut c.read_failed,
        };
        shared::add(became, 1);
    }
}

/// Counts a hit that was submitted; returns how many this CPU has submitted for the hook.
#[inline(always)]
pub fn count_submitted(hook: Hook) -> u64 {
    match maps::counters(hook as u32) {
        Some(c) => {
            shared::add(&mut c.hits, 1);
            shared::add(&mut c.submitted, 1);
            shared::load(&c.submitted)
        }
        None => 0,
    }
}
