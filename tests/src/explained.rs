//! What `memtrace explain` says of a process.
use crate::memtrace::Memtrace;
use crate::procfs::rss_bytes;
use serde_json::Value;

/// The JSON object, whose buckets sum to RSS.
#[derive(Debug)]
pub struct Explained(pub Value);

impl Explained {
    #[track_caller]
    pub fn of(pid: u32) -> Self {
        let explained = Self(Memtrace::json(&["explain", "-p", &pid.to_string()]));
        let sum: u64 = explained.buckets().map(|(_, bytes)| bytes).sum();
        assert_eq!(sum + explained.number("unknown_bytes"), explained.rss_bytes(), "{:#}", explained.0);
        explained
    }

    /// With RSS by page tables. The program is idle, but not its runtime: looked at again until RSS was the same before
    /// and after.
    #[track_caller]
    pub fn at_rest(pid: u32) -> (Self, u64) {
        const TRIES: usize = 50;
        for _ in 0..TRIES {
            let before = rss_bytes(pid);
            let explained = Self::of(pid);
            if rss_bytes(pid) == before {
                return (explained, before);
            }
        }
        panic!("{pid} does not come to rest");
    }

    #[track_caller]
    pub fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_else(|| panic!("no {field} in {:#}", self.0))
    }

    #[track_caller]
    pub fn rss_bytes(&self) -> u64 {
        self.number("rss_bytes")
    }

    /// Bytes of a bucket; empty ones are not listed.
    #[track_caller]
    pub fn bucket(&self, name: &str) -> u64 {
        self.buckets().find(|(found, _)| *found == name).map_or(0, |(_, bytes)| bytes)
    }

    #[track_caller]
    pub fn buckets(&self) -> impl Iterator<Item = (&str, u64)> {
        let buckets = self.0["buckets"].as_array().unwrap_or_else(|| panic!("no buckets: {:#}", self.0));
        buckets.iter().map(move |bucket| {
            let (Some(name), Some(bytes)) = (bucket["name"].as_str(), bucket["bytes"].as_u64()) else {
                panic!("no bucket: {bucket}")
            };
            (name, bytes)
        })
    }

    /// At most 2 % of RSS has no name.
    #[track_caller]
    pub fn assert_mostly_known(&self, what: &str) {
        let (unknown, rss) = (self.number("unknown_bytes"), self.rss_bytes());
        assert!(unknown * 50 <= rss, "{what}: {unknown} of {rss} bytes are unknown in {:#}", self.0);
    }
}
