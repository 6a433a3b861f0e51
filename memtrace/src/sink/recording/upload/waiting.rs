//! Files that are whole and not uploaded yet, the oldest first. The recorder adds to them and takes away what it removes; one
//! at a time is under way. Nobody waits for the other.
use crate::dossier::Uploaded;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Why a file was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sink::recording) enum Removed {
    TooMuch,
    TooOld,
}

#[derive(Debug, Default)]
pub(in crate::sink::recording) struct Waiting {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: VecDeque<PathBuf>,
    /// The first of them is being uploaded.
    is_under_way: bool,
    /// ... and was removed meanwhile: what is open can still be read.
    removed: Option<Removed>,
    /// That files were removed too early was said, once for each time that it begins.
    said: bool,
    is_last: bool,
    counts: Uploaded,
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A file is whole: its path below the directory.
    pub(in crate::sink::recording) fn push(&self, file: PathBuf) {
        self.state().files.push_back(file);
        self.news.notify_one();
    }

    /// A file is no longer there.
    pub(in crate::sink::recording) fn remove(&self, file: &Path, why: Removed) {
        let mut state = self.state();
        match state.files.iter().position(|of| of == file) {
            Some(0) if state.is_under_way => state.removed = Some(why),
            Some(at) => {
                state.files.remove(at);
                state.lost(file, why);
            }
            None => {}
        }
    }

    /// Nothing more comes: what waits is tried once more.
    pub(super) fn last(&self) {
        self.state().is_last = true;
        self.news.notify_one();
    }

    pub(super) fn is_last(&self) -> bool {
        self.state().is_last
    }

    /// The next to be uploaded, as soon as there is one; `None`: there will be none.
    pub(super) async fn next(&self) -> Option<PathBuf> {
        loop {
            {
                let mut state = self.state();
                if let Some(first) = state.files.front().cloned() {
                    state.is_under_way = true;
                    return Some(first);
                }
                if state.is_last {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Until nothing more comes.
    pub(super) async fn until_last(&self) {
        while !self.is_last() {
            self.news.notified().await;
        }
    }

    /// The first of them has arrived.
    pub(super) fn arrived(&self, bytes: u64, now_ms: u64) {
        let mut state = self.state();
        state.files.pop_front();
        (state.is_under_way, state.removed, state.said) = (false, None, false);
        state.counts.files += 1;
        state.counts.bytes += bytes;
        state.counts.last_success_ms = Some(now_ms);
    }

    /// It has not, and is next again unless it was removed.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.is_under_way = false;
        state.counts.failures += 1;
        if let Some(why) = state.removed.take()
            && let Some(file) = state.files.pop_front()
        {
            state.lost(&file, why);
        }
    }

    /// It is not to be uploaded: somebody else has removed it.
    pub(super) fn gave_up(&self) {
        let mut state = self.state();
        let (file, removed) = (state.files.pop_front(), state.removed.take());
        state.is_under_way = false;
        if let Some((file, why)) = file.zip(removed) {
            state.lost(&file, why);
        }
    }

    pub(in crate::sink::recording) fn counts(&self) -> Uploaded {
        let state = self.state();
        Uploaded { waiting: state.files.len() as u64, ..state.counts }
    }
}

impl State {
    fn lost(&mut self, file: &Path, why: Removed) {
        let (count, key) = match why {
            Removed::TooMuch => (&mut self.counts.dropped_bytes, "max_bytes"),
            Removed::TooOld => (&mut self.counts.dropped_age, "max_age"),
        };
        *count += 1;
        if !std::mem::replace(&mut self.said, true) {
            let file = file.display();
            log::warn!("recording: {file} was removed for {key} before it was uploaded; more of them are only counted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            tokio::select! { biased; of = future => Some(of), () = std::future::ready(()) => None }
        })
    }

    #[test]
    fn the_oldest_is_next_until_it_has_arrived() {
        let waiting = Waiting::default();
        assert_eq!(now(waiting.next()), None, "there is none yet");
        ["a", "b"].into_iter().for_each(|name| waiting.push(name.into()));
        assert_eq!(now(waiting.next()), Some(Some("a".into())));
        waiting.failed();
        assert_eq!(now(waiting.next()), Some(Some("a".into())));
        waiting.arrived(7, 1000);
        assert_eq!(now(waiting.next()), Some(Some("b".into())));
        waiting.arrived(8, 2000);
        let expected =
            Uploaded { files: 2, bytes: 15, failures: 1, last_success_ms: Some(2000), ..Uploaded::default() };
        assert_eq!(waiting.counts(), expected);
        waiting.last();
        assert_eq!(now(waiting.next()), Some(None));
    }

    #[test]
    fn what_is_removed_too_early_is_counted_once() {
        let waiting = Waiting::default();
        ["a", "b", "c", "d"].into_iter().for_each(|name| waiting.push(name.into()));
        let dropped = || {
            let counts = waiting.counts();
            (counts.dropped_bytes, counts.dropped_age, counts.waiting)
        };
        waiting.remove(Path::new("b"), Removed::TooMuch);
        waiting.remove(Path::new("elsewhere"), Removed::TooMuch);
        assert_eq!(dropped(), (1, 0, 3));
        // Under way it may arrive all the same.
        assert_eq!(now(waiting.next()), Some(Some("a".into())));
        waiting.remove(Path::new("a"), Removed::TooOld);
        assert_eq!(dropped(), (1, 0, 3));
        waiting.arrived(1, 1);
        assert_eq!((dropped(), waiting.counts().files), ((1, 0, 2), 1));
        assert_eq!(now(waiting.next()), Some(Some("c".into())));
        waiting.remove(Path::new("c"), Removed::TooOld);
        waiting.failed();
        assert_eq!(dropped(), (1, 1, 1), "it is not tried again");
        // Of others than the recorder nothing is counted.
        assert_eq!(now(waiting.next()), Some(Some("d".into())));
        waiting.gave_up();
        assert_eq!((dropped(), waiting.counts().failures), ((1, 1, 0), 1));
    }
}
