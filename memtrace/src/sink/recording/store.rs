//! The directory of a rolling store: `date=YYYY-MM-DD/node=NAME/part-MICROSECONDS-N.parquet`, which any engine reads as one
//! relation. Of one node; the oldest files go first.
use super::part::{Part, UNFINISHED};
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    begun_us: i64,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    node: String,
    max_bytes: u64,
    max_age: Duration,
    /// Oldest first.
    kept: VecDeque<Kept>,
    next: u64,
    /// Nobody else writes for this node here.
    _lock: File,
}

impl Store {
    /// What a memtrace before left unfinished is removed.
    pub(super) fn open(directory: &Path, node: &str, max_bytes: u64, max_age: Duration) -> Result<Store, String> {
        fs::create_dir_all(directory).map_err(|why| why.to_string())?;
        let lock = File::create(directory.join(format!(".lock-{node}"))).map_err(|why| why.to_string())?;
        lock.try_lock().map_err(|why| match why {
            TryLockError::WouldBlock => format!("another memtrace records there for the node {node}"),
            TryLockError::Error(why) => why.to_string(),
        })?;
        let mut kept = Vec::new();
        for date in entries(directory) {
            for file in entries(&date.join(format!("node={node}"))) {
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                if name.ends_with(UNFINISHED) {
                    let _ = fs::remove_file(&file);
                } else if let (Some(begun_us), Ok(metadata)) = (begun_us(&name), file.metadata()) {
                    kept.push(Kept { path: file, begun_us, bytes: metadata.len() });
                }
            }
        }
        kept.sort_by_key(|of| of.begun_us);
        let (directory, node) = (directory.to_owned(), node.to_owned());
        Ok(Store { directory, node, max_bytes, max_age, kept: kept.into(), next: 0, _lock: lock })
    }

    /// A file for rows of one day.
    pub(super) fn begin(&mut self, time_us: i64) -> Result<Part, String> {
        let directory = self.directory.join(format!("date={}", date(time_us))).join(format!("node={}", self.node));
        fs::create_dir_all(&directory).map_err(|why| why.to_string())?;
        self.next += 1;
        Part::create(&directory.join(format!("part-{:016}-{}.parquet", time_us.max(0), self.next)), &self.node)
    }

    pub(super) fn done(&mut self, path: PathBuf, bytes: u64) {
        let begun_us = path.file_name().and_then(|name| begun_us(&name.to_string_lossy())).unwrap_or(0);
        let at = self.kept.partition_point(|of| of.begun_us <= begun_us);
        self.kept.insert(at, Kept { path, begun_us, bytes });
    }

    /// Too much, or too old: the oldest go.
    pub(super) fn enforce(&mut self, now_us: i64) {
        let max_age_us = i64::try_from(self.max_age.as_micros()).unwrap_or(i64::MAX);
        let oldest_us = now_us.saturating_sub(max_age_us);
        let mut bytes = self.bytes();
        while let Some(first) = self.kept.front() {
            if bytes <= self.max_bytes && first.begun_us >= oldest_us {
                break;
            }
            if let Err(why) = fs::remove_file(&first.path)
                && why.kind() != io::ErrorKind::NotFound
            {
                log::warn!("cannot remove {}: {why}", first.path.display());
            }
            bytes -= first.bytes;
            // Of an empty day nothing stays.
            let _ = first.path.parent().map(|node| fs::remove_dir(node).and_then(|()| remove_parent(node)));
            self.kept.pop_front();
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.kept.iter().map(|of| of.bytes).sum()
    }
}

fn remove_parent(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), fs::remove_dir)
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Of a name that a store gives.
fn begun_us(name: &str) -> Option<i64> {
    name.strip_prefix("part-")?.strip_suffix(".parquet")?.split('-').next()?.parse().ok()
}

pub(super) fn day(time_us: i64) -> i64 {
    time_us.div_euclid(DAY_US)
}

/// UTC.
fn date(time_us: i64) -> String {
    let time = UNIX_EPOCH + Duration::from_micros(time_us.max(0).unsigned_abs());
    humantime::format_rfc3339_seconds(time).to_string().chars().take("YYYY-MM-DD".len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3600 * 1_000_000;

    fn store(directory: &Path, max_bytes: u64) -> Result<Store, String> {
        Store::open(directory, "n1", max_bytes, Duration::from_secs(3600))
    }

    fn paths(store: &Store) -> Vec<PathBuf> {
        store.kept.iter().map(|of| of.path.strip_prefix(&store.directory).unwrap().to_owned()).collect()
    }

    #[test]
    fn the_oldest_go_first_and_what_was_not_finished_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let mut first = store(home.path(), u64::MAX).unwrap();
        let day_us = DAY_US - 1;
        for time_us in [day_us, day_us + 1, day_us + 2] {
            let (path, bytes) = first.begin(time_us).unwrap().finish().unwrap();
            first.done(path, bytes);
        }
        let names = ["1970-01-01/node=n1/part-0000086399999999-1", "1970-01-02/node=n1/part-0000086400000000-2"]
            .map(|name| PathBuf::from(format!("date={name}.parquet")));
        assert_eq!(paths(&first)[..2], names);
        let said = store(home.path(), u64::MAX).unwrap_err();
        assert!(said.contains("another memtrace"), "{said}");
        let unfinished = first.begin(day_us).unwrap();
        std::mem::forget(unfinished);
        drop(first);

        let mut second = store(home.path(), u64::MAX).unwrap();
        assert_eq!(paths(&second).len(), 3);
        let left: Vec<_> = entries(&home.path().join("date=1970-01-01/node=n1")).collect();
        assert_eq!(left.len(), 1, "{left:?}");
        second.max_bytes = second.bytes() - 1;
        second.enforce(day_us);
        assert_eq!(paths(&second)[0], names[1]);
        assert!(!home.path().join("date=1970-01-01").exists(), "nothing of an empty day stays");
        second.enforce(day_us + 2 + HOUR_US);
        assert_eq!(paths(&second).len(), 1);
        second.enforce(day_us + 3 + HOUR_US);
        assert_eq!((paths(&second).len(), second.bytes()), (0, 0));
    }
}
