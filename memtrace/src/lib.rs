//! Page truth for Go, from outside: see docs/ARCHITECTURE.md for the map of the rooms.
pub mod account;
pub mod event;
pub mod goruntime;
