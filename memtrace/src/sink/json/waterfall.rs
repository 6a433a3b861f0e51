//! RSS at the start and at the end of a window, by the buckets of `memtrace.explain/1`.
use crate::aggregate::waterfall::{Anonymous, Waterfall};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct WaterfallsJson<'a> {
    start: Option<WaterfallJson<'a>>,
    end: Option<WaterfallJson<'a>>,
}

#[derive(Serialize)]
struct WaterfallJson<'a> {
    rss_bytes: u64,
    buckets: Vec<BucketJson<'a>>,
    unknown_bytes: u64,
    /// The largest of the bucket `other_anonymous`.
    anonymous: Vec<AnonymousJson<'a>>,
}

#[derive(Serialize)]
struct BucketJson<'a> {
    name: &'a str,
    bytes: u64,
}

#[derive(Serialize)]
pub(super) struct AnonymousJson<'a> {
    start: String,
    end: String,
    name: &'a str,
    bytes: u64,
    /// The function that mapped it, where that was traced.
    creator: Option<&'a str>,
}

impl<'a> AnonymousJson<'a> {
    pub(super) fn of(mapping: &'a Anonymous) -> Self {
        Self {
            start: format!("{:#x}", mapping.range.start),
            end: format!("{:#x}", mapping.range.end),
            name: &mapping.name,
            bytes: mapping.bytes,
            creator: mapping.creator.as_deref(),
        }
    }
}

impl<'a> WaterfallsJson<'a> {
    pub(super) fn of([start, end]: &'a [Option<Box<Waterfall>>; 2]) -> Option<Self> {
        let one = |fall: &'a Option<Box<Waterfall>>| fall.as_deref().map(WaterfallJson::of);
        (start.is_some() || end.is_some()).then(|| Self { start: one(start), end: one(end) })
    }
}

impl<'a> WaterfallJson<'a> {
    fn of(fall: &'a Waterfall) -> Self {
        let buckets = fall.buckets.iter().map(|b| BucketJson { name: b.name, bytes: b.bytes }).collect();
        let anonymous = fall.anonymous.iter().map(AnonymousJson::of).collect();
        Self { rss_bytes: fall.rss_bytes, buckets, unknown_bytes: fall.unknown_bytes, anonymous }
    }
}
