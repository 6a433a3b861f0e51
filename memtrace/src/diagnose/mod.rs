//! What the numbers mean: pure functions, no I/O, no clock.
pub mod pattern;

pub use pattern::{Case, Cause, Evidence, Growth, Pattern, Verdict, verdict};
