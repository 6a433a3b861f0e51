//! `memtrace doctor`: what this host allows. Text for a person at a terminal, JSON `memtrace.doctor/1` for machines.
mod json;
mod text;

pub use json::{SCHEMA, write_json};
pub use text::write_text;

#[cfg(test)]
mod tests;
