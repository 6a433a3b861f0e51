//! The thread that writes: rows come by a bounded queue, and what finds no room there, or none on the disk, is counted.
use super::batch::Batch;
use super::part::Part;
use super::row::Row;
use super::store::{Store, day};
use super::upload::{Uploader, Waiting};
use crate::error::Error;
use crate::sink::background::Background;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rows that wait to be written: some 3 KiB each.
const QUEUE: usize = 4096;

/// Where rows go.
#[derive(Clone, Debug)]
pub enum Place {
    /// One file, whole only at the end.
    File(PathBuf),
    /// A directory of small files, and where they are uploaded to.
    Store { directory: PathBuf, max_bytes: u64, max_age: Duration, upload: Option<Uploader> },
}

#[derive(Clone, Debug)]
pub struct RecorderConfig {
    pub place: Place,
    pub node: String,
    /// So much is lost at most when memtrace is killed.
    pub flush_interval: Duration,
}

/// What has become of rows.
#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
}

/// What is still to be uploaded, and who does it.
type Upload = (Arc<Waiting>, Background);

/// Who has rows puts them here.
#[derive(Debug)]
pub struct Recorder {
    rows: Option<SyncSender<Row>>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<Result<(), String>>>,
    upload: Option<Upload>,
}

impl Recorder {
    pub fn start(config: RecorderConfig) -> Result<Recorder, Error> {
        let at = match &config.place {
            Place::File(path) => path.display().to_string(),
            Place::Store { directory, .. } => directory.display().to_string(),
        };
        let counts = Arc::<Counts>::default();
        let failed = |why| Error::Host(format!("cannot record in {at}: {why}"));
        let (writer, upload) = Writer::open(config, Arc::clone(&counts), at.clone()).map_err(failed)?;
        let (rows, queue) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("recorder".into()).spawn(move || writer.run(&queue));
        let thread = thread.map_err(Error::io("cannot start a thread"))?;
        Ok(Recorder { rows: Some(rows), counts, thread: Some(thread), upload })
    }

    /// Never waits.
    pub fn put(&self, row: Row) {
        if self.rows.as_ref().is_none_or(|rows| rows.try_send(row).is_err()) {
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    pub fn counts(&self) -> crate::dossier::Recorded {
        let of = |n: &AtomicU64| n.load(Relaxed);
        let Counts { written, dropped, bytes } = &*self.counts;
        let upload = self.upload.as_ref().map(|(waiting, _)| waiting.counts());
        crate::dossier::Recorded { rows: of(written), dropped_rows: of(dropped), bytes: of(bytes), upload }
    }

    /// All that was put is written, and uploaded as far as there is time. An error is that of a single file; of a store it has been told and counted.
    pub fn finish(&mut self) -> io::Result<()> {
        drop(self.rows.take());
        let written = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join);
        drop(self.upload.take());
        written.unwrap_or_else(|_| Err("the recorder panicked".to_owned())).map_err(io::Error::other)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

enum Open {
    File { path: PathBuf, failed: Option<String> },
    Store(Store),
}

/// On its thread.
struct Writer {
    config: RecorderConfig,
    open: Open,
    /// For messages.
    at: String,
    counts: Arc<Counts>,
    batch: Batch,
    part: Option<Part>,
    /// Of the first row of the next file.
    begun_us: i64,
    is_failing: bool,
}

impl Writer {
    fn open(mut config: RecorderConfig, counts: Arc<Counts>, at: String) -> Result<(Writer, Option<Upload>), String> {
        let batch = Batch::new(&config.node);
        let mut upload = None;
        let (open, part) = match &mut config.place {
            Place::File(path) => {
                let part = Part::create(path, &config.node)?;
                (Open::File { path: path.clone(), failed: None }, Some(part))
            }
            Place::Store { directory, max_bytes, max_age, upload: uploader } => {
                let mut store = Store::open(directory, &config.node, (*max_bytes, *max_age), now_us())?;
                if let Some(uploader) = uploader.take() {
                    let started = uploader.start(directory, &config.node, store.files());
                    let started = started.map_err(|why| why.to_string())?;
                    store.tell(Arc::clone(&started.0));
                    upload = Some(started);
                }
                store.enforce();
                counts.bytes.store(store.bytes(), Relaxed);
                (Open::Store(store), None)
            }
        };
        Ok((Writer { config, open, at, counts, batch, part, begun_us: 0, is_failing: false }, upload))
    }

    fn run(mut self, rows: &Receiver<Row>) -> Result<(), String> {
        let mut due = Instant::now() + self.config.flush_interval;
        loop {
            match rows.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(row) => self.row(&row),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= due {
                self.flush(false);
                due = Instant::now() + self.config.flush_interval;
            }
        }
        self.flush(true);
        match self.open {
            Open::File { failed: Some(why), path } => Err(format!("{}: {why}", path.display())),
            _ => Ok(()),
        }
    }

    fn row(&mut self, row: &Row) {
        if matches!(self.open, Open::Store(_)) && day(row.time_us) != day(self.begun_us) {
            self.flush(false);
        }
        if self.part.is_none() && self.batch.rows() == 0 {
            self.begun_us = row.time_us;
        }
        self.batch.push(row);
        if self.batch.is_full() {
            self.group();
        }
    }

    /// What is in memory becomes a row group.
    fn group(&mut self) {
        let rows = self.batch.rows() as u64;
        if rows == 0 {
            return;
        }
        let begun = match (&mut self.open, self.part.take()) {
            (_, Some(part)) => Ok(part),
            (Open::Store(store), None) => store.begin(self.begun_us),
            (Open::File { failed, .. }, None) => Err(failed.clone().unwrap_or_default()),
        };
        let written = begun.and_then(|mut part| match part.write(&mut self.batch) {
            Ok(()) => Ok(part),
            Err(why) => {
                // What it had before goes with it.
                self.counts.dropped.fetch_add(part.rows, Relaxed);
                part.give_up();
                Err(why)
            }
        });
        match written {
            Ok(part) => self.part = Some(part),
            Err(why) => {
                self.batch = Batch::new(&self.config.node);
                self.lost(rows, why);
            }
        }
    }

    /// A store's file is whole; the one file of a recording only at the end.
    fn flush(&mut self, is_end: bool) {
        self.group();
        if matches!(self.open, Open::File { .. }) && !is_end {
            return;
        }
        if let Some(part) = self.part.take() {
            let rows = part.rows;
            match part.finish() {
                Ok((path, bytes)) => {
                    self.counts.written.fetch_add(rows, Relaxed);
                    self.is_failing = false;
                    match &mut self.open {
                        Open::Store(store) => store.done(path, bytes),
                        Open::File { .. } => self.counts.bytes.store(bytes, Relaxed),
                    }
                }
                Err(why) => self.lost(rows, why),
            }
        }
        if let Open::Store(store) = &mut self.open {
            store.enforce();
            self.counts.bytes.store(store.bytes(), Relaxed);
        }
    }

    /// One line until it works again.
    fn lost(&mut self, rows: u64, why: String) {
        self.counts.dropped.fetch_add(rows, Relaxed);
        if !std::mem::replace(&mut self.is_failing, true) {
            log::error!("cannot record in {}: {why}; rows are dropped and counted until it works again", self.at);
        }
        if let Open::File { failed, .. } = &mut self.open {
            failed.get_or_insert(why);
        }
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
