//! Any bytes as an executable: build information, symbols, pclntab, moduledata, layouts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::executable(bytes));
