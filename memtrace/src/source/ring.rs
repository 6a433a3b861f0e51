//! The drain: takes raw records out of both rings into batches and moves on. No decoding, no /proc, no locks shared with
//! a sink. A full queue sheds whole batches and counts their records; it never blocks the drain.
use crate::kernel::Rings;
use bytes::{BufMut as _, Bytes, BytesMut};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A batch is handed on when it holds this many bytes.
const BATCH_BYTES: usize = 128 << 10;

/// Records as they were submitted, each behind its length (u32).
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    pub records: u64,
}

impl Batch {
    /// The records one by one.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.bytes;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            let (record, tail) = tail.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
            rest = tail;
            Some(record)
        })
    }
}

/// What the drain has seen, for the account; shared with the processing thread.
#[derive(Debug, Default)]
pub struct DrainCounts {
    pub received: AtomicU64,
    pub shed: AtomicU64,
}

/// Records on their way into a batch.
pub(crate) struct Hopper {
    counts: Arc<DrainCounts>,
    open: BytesMut,
    records: u64,
}

impl Hopper {
    pub(crate) fn new(counts: Arc<DrainCounts>) -> Self {
        Self { counts, open: BytesMut::new(), records: 0 }
    }

    /// `send` says whether it took the batch.
    pub(crate) fn put(&mut self, record: &[u8], send: &mut impl FnMut(Batch) -> bool) {
        // The record lengths are at most a few hundred bytes: they fit u32.
        self.open.put_u32_ne(record.len() as u32);
        self.open.put_slice(record);
        self.records += 1;
        if self.open.len() >= BATCH_BYTES {
            self.hand_on(send);
        }
    }

    pub(crate) fn hand_on(&mut self, send: &mut impl FnMut(Batch) -> bool) {
        if self.records == 0 {
            return;
        }
        let records = std::mem::take(&mut self.records);
        self.counts.received.fetch_add(records, Relaxed);
        if !send(Batch { bytes: self.open.split().freeze(), records }) {
            self.counts.shed.fetch_add(records, Relaxed);
        }
    }
}

pub struct Drain {
    rings: Rings,
    hopper: Hopper,
}

impl Drain {
    pub fn new(rings: Rings, counts: Arc<DrainCounts>) -> Self {
        Self { rings, hopper: Hopper::new(counts) }
    }

    /// Empties both rings, urgent records first; `send` says whether it took the batch. False: there was nothing.
    pub fn drain(&mut self, mut send: impl FnMut(Batch) -> bool) -> bool {
        let before = self.hopper.counts.received.load(Relaxed);
        let mut is_urgent = false;
        while let Some(record) = self.rings.urgent.next() {
            self.hopper.put(&record, &mut send);
            is_urgent = true;
        }
        self.rings.urgent.rest(is_urgent);
        while let Some(record) = self.rings.events.next() {
            self.hopper.put(&record, &mut send);
        }
        self.hopper.hand_on(&mut send);
        if let Some(log) = &mut self.rings.log {
            log.flush();
        }
        self.hopper.counts.received.load(Relaxed) != before
    }

    /// Readable when the kernel side forces a wakeup: the events ring past its threshold, the urgent ring always.
    pub fn wakeup_fds(&self) -> std::io::Result<[OwnedFd; 2]> {
        let Rings { events, urgent, .. } = &self.rings;
        Ok([events.as_fd().try_clone_to_owned()?, urgent.fd().try_clone_to_owned()?])
    }
}
