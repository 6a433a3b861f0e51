//! Any memory: statistics, goroutines, heap profile.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::goroutines(bytes));
