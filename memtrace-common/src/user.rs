//! The only `aya::Pod` impls: what the loader moves in and out of maps and globals.
use crate::counters::ProgramCounters;
use crate::host::Host;
use crate::params::Params;
use crate::records::{WalkPlan, WordPlan};
use crate::refault::{ChunkKey, FaultStats};
use crate::sums::Sums;
use crate::target::Target;

macro_rules! pod {
    ($($t:ty),* $(,)?) => {$(
        // SAFETY: the type is `bytemuck::Pod`: repr(C), no padding, valid for every bit pattern.
        unsafe impl aya::Pod for $t where $t: bytemuck::Pod {}
    )*};
}

pod!(ProgramCounters, Host, Params, ChunkKey, FaultStats, Sums, Target, WordPlan, WalkPlan);
