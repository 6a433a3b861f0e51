//! Page truth for Go, from outside: see docs/ARCHITECTURE.md for the map of the rooms.
pub mod account;
pub mod aggregate;
pub mod decode;
pub mod event;
pub mod host;
pub mod kernel;
pub mod procfs;
pub mod sink;
pub mod snapshot;
