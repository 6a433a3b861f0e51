//! Program and map names, at most 15 bytes as the kernel keeps them.
pub mod map {
    pub const EVENTS: &str = "EVENTS";
    pub const URGENT: &str = "URGENT";
    pub const TARGETS: &str = "TARGETS";
    pub const COUNTERS: &str = "COUNTERS";
    pub const REFAULTS: &str = "REFAULTS";
    pub const CHUNKS: &str = "CHUNKS";
    pub const STACKS: &str = "STACKS";
}
