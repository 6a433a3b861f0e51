//! Where records come from.
pub mod kmsg;
pub mod pressure;
pub mod ring;
