//! What waits to be sent: bounded in bytes, the oldest go first.
use crate::sink::happened::{ExportCounts, SentCounts};
use hyper::body::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Metrics,
    Logs,
}

impl Signal {
    pub(super) fn counts(self, of: &ExportCounts) -> &SentCounts {
        match self {
            Signal::Metrics => &of.metrics,
            Signal::Logs => &of.logs,
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) signal: Signal,
    /// Data points or log records.
    pub(super) items: u64,
    /// As it is sent, compressed where that is asked for.
    pub(super) payload: Bytes,
}

#[derive(Debug)]
pub(super) struct Queue {
    batches: Mutex<VecDeque<Batch>>,
    max_bytes: u64,
    counts: Arc<ExportCounts>,
    news: Notify,
}

impl Queue {
    pub(super) fn new(max_bytes: u64, counts: Arc<ExportCounts>) -> Queue {
        Queue { batches: Mutex::default(), max_bytes, counts, news: Notify::new() }
    }

    /// What finds no room in an empty queue is dropped itself.
    pub(super) fn push(&self, batch: Batch) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.push_back(batch);
        let mut bytes: u64 = batches.iter().map(|batch| batch.payload.len() as u64).sum();
        while bytes > self.max_bytes
            && let Some(oldest) = batches.pop_front()
        {
            bytes -= oldest.payload.len() as u64;
            oldest.signal.counts(&self.counts).queue_full.fetch_add(oldest.items, Relaxed);
        }
        self.counts.queue_bytes.store(bytes, Relaxed);
        self.news.notify_one();
    }

    pub(super) fn pop(&self) -> Option<Batch> {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = batches.pop_front()?;
        self.counts.queue_bytes.fetch_sub(batch.payload.len() as u64, Relaxed);
        Some(batch)
    }

    pub(super) async fn next(&self) -> Batch {
        loop {
            if let Some(batch) = self.pop() {
                return batch;
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_are_counted() {
        let counts = Arc::<ExportCounts>::default();
        let queue = Queue::new(100, Arc::clone(&counts));
        let push = |signal, items, bytes| {
            queue.push(Batch { signal, items, payload: Bytes::from(vec![0; bytes]) });
            let now = counts.now();
            (now.queue_bytes, now.metrics.queue_full, now.logs.queue_full)
        };
        assert_eq!(push(Signal::Metrics, 7, 60), (60, 0, 0));
        assert_eq!(push(Signal::Logs, 1, 40), (100, 0, 0));
        assert_eq!(push(Signal::Metrics, 8, 30), (70, 7, 0));
        assert_eq!(push(Signal::Metrics, 9, 101), (0, 24, 1), "too large by itself");
        assert_eq!(push(Signal::Logs, 2, 10), (10, 24, 1));
        assert_eq!(queue.pop().map(|batch| batch.items), Some(2));
        assert!(queue.pop().is_none() && counts.now().queue_bytes == 0);
    }
}
