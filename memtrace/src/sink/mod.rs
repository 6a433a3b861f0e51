//! Outputs: each owns its types and its schema version.
pub mod doctor;
