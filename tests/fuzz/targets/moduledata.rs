//! Any bytes as module, relocations and symbols.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::module(bytes));
