//! Any memory: spans, free pages, metadata.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| memtrace::goruntime::fuzz::spans(bytes));
