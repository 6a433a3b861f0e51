//! What happens, for exporters: told without waiting, and counted where there is no room.
use super::oom::Document;
use crate::account::{Exported, Sent};
use crate::event::PressureTold;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::mpsc::Sender;

#[derive(Clone, Debug)]
pub enum Happened {
    Dossier(Box<Document>),
    Pressure(Arc<PressureTold>),
}

/// Of data points, or of log records; see [`Sent`].
#[derive(Debug, Default)]
pub struct SentCounts {
    pub sent: AtomicU64,
    pub queue_full: AtomicU64,
    pub refused: AtomicU64,
    pub rejected: AtomicU64,
}

#[derive(Debug, Default)]
pub struct ExportCounts {
    pub metrics: SentCounts,
    pub logs: SentCounts,
    pub failed_attempts: AtomicU64,
    pub queue_bytes: AtomicU64,
}

impl SentCounts {
    fn now(&self) -> Sent {
        let of = |count: &AtomicU64| count.load(Relaxed);
        let Self { sent, queue_full, refused, rejected } = self;
        Sent { sent: of(sent), queue_full: of(queue_full), refused: of(refused), rejected: of(rejected) }
    }
}

impl ExportCounts {
    pub fn now(&self) -> Exported {
        Exported {
            metrics: self.metrics.now(),
            logs: self.logs.now(),
            failed_attempts: self.failed_attempts.load(Relaxed),
            queue_bytes: self.queue_bytes.load(Relaxed),
        }
    }
}

/// To the exporter, where there is one.
#[derive(Clone, Debug, Default)]
pub struct Events(pub Option<(Sender<Happened>, Arc<ExportCounts>)>);

impl Events {
    pub fn tell(&self, what: impl FnOnce() -> Happened) {
        let Some((to, counts)) = &self.0 else { return };
        if to.try_send(what()).is_err() {
            counts.logs.queue_full.fetch_add(1, Relaxed);
        }
    }

    pub fn exported(&self) -> Option<Exported> {
        self.0.as_ref().map(|(_, counts)| counts.now())
    }
}
