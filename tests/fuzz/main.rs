//! All fuzz targets in one program, since each would link all of memtrace anyway. The variable TARGET says which.
#![no_main]

use memtrace::fuzz::Target;
use std::sync::OnceLock;

static TARGET: OnceLock<Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET.get_or_init(chosen)(bytes));

fn chosen() -> Target {
    let name = std::env::var("TARGET").unwrap_or_default();
    memtrace::fuzz::target(&name).unwrap_or_else(|| panic!("no target {name:?}"))
}
