//! Any bytes as what the linker wrote about the build.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::buildinfo(bytes));
