//! Minutes of load: memtrace stays as it is, and who scrapes it misses nothing. One after the other: `--test-threads=1`.
mod memory;
mod scrape;
