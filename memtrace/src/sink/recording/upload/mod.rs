//! What is recorded, to a bucket of a store that speaks S3, from a thread of its own: one file after the other, the oldest
//! first, under the names that they have here. A file is uploaded again until the store has it, or it is removed here. Nobody
//! waits for it.
mod http;
mod journal;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

pub(super) use super::part::UNFINISHED;
pub(super) use waiting::{Removed, Waiting};

use crate::config::file::Upload;
use crate::error::Error;
use crate::procfs::clock::{ClockOffset, monotonic_ns};
use crate::sink::background::Background;
use journal::Journal;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::{Blocks, Bucket, Failure};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Between two attempts: twice as long each time.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// At the end, for what is still waiting: the rest is for the next start.
const FLUSH: Duration = Duration::from_millis(500);

/// Ready to be started.
#[derive(Clone)]
pub struct Uploader {
    bucket: Bucket,
    /// For messages, and for what is known to be there.
    place: String,
}

impl fmt::Debug for Uploader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploader").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Uploader {
    /// Files that it names are read; nobody is asked yet.
    pub fn new(config: &Upload) -> Result<Uploader, Error> {
        let bucket = Bucket::new(config).map_err(|why| Error::Usage(format!("[recording.upload] {why}")))?;
        let (url, endpoint) = (config.url.trim_end_matches('/'), bucket.endpoint().trim_end_matches('/'));
        let place = if endpoint.is_empty() { url.to_owned() } else { format!("{url} at {endpoint}") };
        Ok(Uploader { bucket, place })
    }

    /// Uploads what waits as long as what it returns lives. `files`: those there are, oldest first, below `directory`.
    pub(super) fn start(
        self,
        directory: &Path,
        node: &str,
        files: impl Iterator<Item = PathBuf>,
    ) -> Result<(Arc<Waiting>, Background), Error> {
        let opened = Journal::open(directory, node, &self.place);
        let (journal, uploaded) = opened.map_err(Error::io("cannot remember what is uploaded"))?;
        let waiting = Arc::<Waiting>::default();
        files.filter(|file| !uploaded.contains(file)).for_each(|file| waiting.push(file));
        let work =
            Work { uploader: self, directory: directory.to_owned(), waiting: waiting.clone(), journal, said: None };
        Ok((waiting, Background::start("upload", |stopped| Ok(work.run(stopped)))?))
    }
}

/// On its thread.
struct Work {
    uploader: Uploader,
    directory: PathBuf,
    waiting: Arc<Waiting>,
    journal: Journal,
    /// Why it fails, which is said once as long as it is the same.
    said: Option<String>,
}

impl Work {
    async fn run(mut self, stopped: oneshot::Receiver<()>) {
        let waiting = Arc::clone(&self.waiting);
        let until_late = async {
            let _ = stopped.await;
            waiting.last();
            sleep(FLUSH).await;
        };
        tokio::select! {
            () = self.all() => {}
            () = until_late => {}
        }
        let left = self.waiting.counts().waiting;
        if left > 0 {
            log::warn!("recording: {left} files are not uploaded yet: the next start goes on with them");
        }
    }

    /// To the last, as soon as one is; then until one does not arrive.
    async fn all(&mut self) {
        let mut wait = *BACKOFF.start();
        while let Some(file) = self.waiting.next().await {
            let Some(failure) = self.attempt(&file).await else {
                wait = *BACKOFF.start();
                continue;
            };
            self.waiting.failed();
            self.say(failure.why);
            if self.waiting.is_last() {
                return;
            }
            let longest = *BACKOFF.end();
            let of_now = if failure.is_lasting { longest } else { wait };
            // Not all agents of a cluster at the same time.
            let _ = timeout(of_now / 2 + (of_now / 2).mul_f64(part()), self.waiting.until_last()).await;
            wait = (wait * 2).min(longest);
        }
    }

    /// `None`: it is not to be tried again.
    async fn attempt(&mut self, file: &Path) -> Option<Failure> {
        let blocks = match Blocks::open(self.directory.join(file)).await {
            Ok(blocks) => blocks,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                self.waiting.gave_up();
                return None;
            }
            Err(why) => return Some(Failure { why: format!("{}: {why}", file.display()), is_lasting: false }),
        };
        match self.uploader.bucket.put(file, blocks).await {
            Ok(bytes) => {
                if let Err(why) = self.journal.add(file) {
                    log::warn!("recording: the next start uploads {} again: {why}", file.display());
                }
                self.waiting.arrived(bytes, ClockOffset::of_wall().from_monotonic(monotonic_ns()) / 1_000_000);
                if self.said.take().is_some() {
                    log::warn!("recording: {} takes files again", self.uploader.place);
                }
                None
            }
            Err(failure) => Some(failure),
        }
    }

    fn say(&mut self, why: String) {
        if self.said.as_ref() != Some(&why) {
            log::warn!("recording: not uploaded to {}, and tried again: {why}", self.uploader.place);
            self.said = Some(why);
        }
    }
}

/// Random, from 0 to 1.
fn part() -> f64 {
    RandomState::new().hash_one(monotonic_ns()) as f64 / u64::MAX as f64
}
