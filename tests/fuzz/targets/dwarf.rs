//! Any bytes as debug information.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::dwarf(bytes));
