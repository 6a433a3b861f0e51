//! Page truth for Go, from outside: see docs/ARCHITECTURE.md for the map of the rooms.
pub mod account;
pub mod aggregate;
pub mod cgroup;
pub mod cli;
pub mod config;
pub mod decode;
pub mod diagnose;
pub mod dossier;
pub mod enrich;
pub mod error;
pub mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod goruntime;
pub mod host;
pub mod kernel;
pub mod pipeline;
pub mod procfs;
pub mod profile;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod timeline;
