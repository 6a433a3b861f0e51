//! What the fuzz target calls: any bytes as each file of a process.
use super::cgroup::parse_memberships;
use super::process::{Stat, Status};
use super::smaps::Rollup;

pub(crate) fn files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for ticks_per_second in [0, 100] {
        let _ = Stat::parse(&text, ticks_per_second).map(|stat| stat.started_at(u64::MAX));
    }
    let _ = Status::parse(&text).map(|status| status.rss_bytes());
    let _ = Rollup::parse(&text);
    for membership in parse_memberships(&text) {
        let _ = (membership.is_v2(), membership.has("memory"));
    }
}
