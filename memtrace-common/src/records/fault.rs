use crate::header::Header;
use crate::refault::FaultStats;
use bytemuck::{Pod, Zeroable};

/// The final fault figures of a target, written when it exits.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct FaultRecord {
    pub header: Header,
    pub stats: FaultStats,
}
