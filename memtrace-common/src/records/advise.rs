use super::Call;
use crate::header::Header;
use bytemuck::{Pod, Zeroable};

/// madvise and process_madvise.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct AdviseRecord {
    pub header: Header,
    pub call: Call,
    pub advice: i32,
    /// 1 for process_madvise (address: the first range, length: the sum of all), 0 for madvise.
    pub process: u32,
}
