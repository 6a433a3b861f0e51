//! The directory of a rolling store: `date=YYYY-MM-DD/node=NAME/part-MICROSECONDS-N.parquet`, which any engine reads as one
//! relation. Of one node; the oldest files go first. The wall clock gives names and no more: when it is set, what was written
//! last is still the newest.
use super::part::{Part, UNFINISHED};
use super::upload::{Removed, Waiting};
use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    /// By the store's own clock, which began at its opening.
    written_us: i64,
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
    opened: Instant,
    /// Where somebody uploads what is here.
    waiting: Option<Arc<Waiting>>,
    /// Nobody else writes for this node here.
    _lock: File,
}

impl Store {
    /// What a memtrace before left unfinished is removed. `now_us`: of the wall clock, by which the age of its files is told
    /// this once; those of a time to come are the newest of them.
    pub(super) fn open(
        directory: &Path,
        node: &str,
        (max_bytes, max_age): (u64, Duration),
        now_us: i64,
    ) -> Result<Store, String> {
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
                } else if let (Some((begun_us, n)), Ok(metadata)) = (begun(&name), file.metadata()) {
                    kept.push((
                        (begun_us, n),
                        Kept { path: file, written_us: (begun_us - now_us).min(0), bytes: metadata.len() },
                    ));
                }
            }
        }
        kept.sort_by_key(|(begun, _)| *begun);
        let kept = kept.into_iter().map(|(_, of)| of).collect();
        let (directory, node) = (directory.to_owned(), node.to_owned());
        let (opened, waiting) = (Instant::now(), None);
        Ok(Store { directory, node, max_bytes, max_age, kept, next: 0, opened, waiting, _lock: lock })
    }

    /// Oldest first, below the directory.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.kept.iter().filter_map(|of| Some(of.path.strip_prefix(&self.directory).ok()?.to_owned()))
    }

    /// Who is told of each file from now on.
    pub(super) fn tell(&mut self, waiting: Arc<Waiting>) {
        self.waiting = Some(waiting);
    }

    /// A file for rows of one day.
    pub(super) fn begin(&mut self, time_us: i64) -> Result<Part, String> {
        let directory = self.directory.join(format!("date={}", date(time_us))).join(format!("node={}", self.node));
        fs::create_dir_all(&directory).map_err(|why| why.to_string())?;
        self.next += 1;
        Part::create(&directory.join(format!("part-{:016}-{}.parquet", time_us.max(0), self.next)), &self.node)
    }

    pub(super) fn done(&mut self, path: PathBuf, bytes: u64) {
        if let (Some(waiting), Ok(file)) = (&self.waiting, path.strip_prefix(&self.directory)) {
            waiting.push(file.to_owned());
        }
        self.kept.push_back(Kept { path, written_us: micros(self.opened.elapsed()), bytes });
    }

    /// Too much, or too old: the oldest go.
    pub(super) fn enforce(&mut self) {
        self.enforce_at(self.opened.elapsed());
    }

    fn enforce_at(&mut self, since_opened: Duration) {
        let oldest_us = micros(since_opened).saturating_sub(micros(self.max_age));
        let mut bytes = self.bytes();
        while let Some(first) = self.kept.front() {
            if bytes <= self.max_bytes && first.written_us >= oldest_us {
                break;
            }
            if let (Some(waiting), Ok(file)) = (&self.waiting, first.path.strip_prefix(&self.directory)) {
                waiting.remove(file, if bytes > self.max_bytes { Removed::TooMuch } else { Removed::TooOld });
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

fn micros(of: Duration) -> i64 {
    i64::try_from(of.as_micros()).unwrap_or(i64::MAX)
}

fn remove_parent(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), fs::remove_dir)
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Of a name that a store gives: the time of the first row, and which of its files it was.
fn begun(name: &str) -> Option<(i64, u64)> {
    let (begun_us, n) = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split_once('-')?;
    Some((begun_us.parse().ok()?, n.parse().ok()?))
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

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: i64 = DAY_US - 1;

    fn store(directory: &Path, now_us: i64) -> Result<Store, String> {
        Store::open(directory, "n1", (u64::MAX, HOUR), now_us)
    }

    fn write(store: &mut Store, time_us: i64) {
        let (path, bytes) = store.begin(time_us).unwrap().finish().unwrap();
        store.done(path, bytes);
    }

    fn paths(store: &Store) -> Vec<PathBuf> {
        store.files().collect()
    }

    fn names(of: &[&str]) -> Vec<PathBuf> {
        of.iter().map(|name| PathBuf::from(format!("date={name}.parquet"))).collect()
    }

    #[test]
    fn the_oldest_go_first_and_what_was_not_finished_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let mut first = store(home.path(), DAY).unwrap();
        (0..3).for_each(|us| write(&mut first, DAY + us));
        let expected =
            names(&["1970-01-01/node=n1/part-0000086399999999-1", "1970-01-02/node=n1/part-0000086400000000-2"]);
        assert_eq!(paths(&first)[..2], expected);
        let said = store(home.path(), DAY).unwrap_err();
        assert!(said.contains("another memtrace"), "{said}");
        let unfinished = first.begin(DAY).unwrap();
        std::mem::forget(unfinished);
        drop(first);

        let mut second = store(home.path(), DAY + 2).unwrap();
        assert_eq!(paths(&second).len(), 3);
        let left: Vec<_> = entries(&home.path().join("date=1970-01-01/node=n1")).collect();
        assert_eq!(left.len(), 1, "{left:?}");
        second.max_bytes = second.bytes() - 1;
        second.enforce_at(Duration::ZERO);
        assert_eq!(paths(&second)[0], expected[1]);
        assert!(!home.path().join("date=1970-01-01").exists(), "nothing of an empty day stays");
        for (since_opened, left) in [(HOUR - Duration::from_micros(1), 2), (HOUR, 1), (2 * HOUR, 0)] {
            second.enforce_at(since_opened);
            assert_eq!(paths(&second).len(), left, "{since_opened:?}");
        }
        assert_eq!(second.bytes(), 0);
    }

    #[test]
    fn files_of_one_microsecond_are_in_the_order_that_they_were_written_in() {
        let home = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> =
            (1..12).map(|n| format!("date=1970-01-02/node=n1/part-{DAY:016}-{n}.parquet").into()).collect();
        fs::create_dir_all(home.path().join(&names[0]).parent().unwrap()).unwrap();
        names.iter().for_each(|name| fs::write(home.path().join(name), "").unwrap());
        assert_eq!(paths(&store(home.path(), DAY).unwrap()), names);
    }

    #[test]
    fn what_is_written_last_is_the_newest_however_the_clock_is_set() {
        let hour_us = micros(HOUR);
        let home = tempfile::tempdir().unwrap();
        let mut before = store(home.path(), 0).unwrap();
        // Of a clock that was an hour ahead.
        write(&mut before, DAY + hour_us);
        drop(before);
        let mut store = store(home.path(), DAY).unwrap();
        for hours in [0, 1, -1] {
            write(&mut store, DAY + hours * hour_us);
        }
        let part = |day, time_us, n| format!("1970-01-{day}/node=n1/part-{time_us:016}-{n}");
        let all = [
            part("02", DAY + hour_us, 1),
            part("01", DAY, 1),
            part("02", DAY + hour_us, 2),
            part("01", DAY - hour_us, 3),
        ];
        let all = names(&all.each_ref().map(String::as_str));
        assert_eq!(paths(&store), all);
        // Three quarters of an hour later all are young.
        store.enforce_at(HOUR * 3 / 4);
        assert_eq!(paths(&store), all);
        store.max_bytes = store.bytes() / 2;
        store.enforce_at(Duration::ZERO);
        assert_eq!(paths(&store), all[2..]);
    }
}
