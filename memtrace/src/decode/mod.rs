//! Bytes of the rings to domain events: pure and total. Nothing here trusts a length, a kind or an op before checking it.
mod advise;
mod call;
mod fatal;
pub mod fault;
mod map;
mod oom;
mod reclaim;
mod task;
#[cfg(test)]
mod tests;
mod walk;
mod words;

use crate::event::{Event, Meta};
use bytemuck::AnyBitPattern;
use memtrace_common::header::Header;
use memtrace_common::{UNKNOWN, kind};
use thiserror::Error;

/// Why a record was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// No family has this kind.
    #[error("unknown record kind {0}")]
    Kind(u16),
    /// The family has no such operation.
    #[error("record kind {kind} has no op {op}")]
    Op { kind: u16, op: u32 },
    /// The slice or the header's own size is not the size of the family's record.
    #[error("record of {actual} bytes that says {stated}, expected {expected}")]
    Length { expected: usize, actual: usize, stated: u32 },
}

/// Decodes records of one host.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// The host's page size.
    pub page_bytes: u64,
}

impl Decoder {
    /// One record, exactly as the kernel side submitted it.
    pub fn decode(&self, bytes: &[u8]) -> Result<Event, DecodeError> {
        let header_bytes = bytes.get(..size_of::<Header>());
        let header: Header = header_bytes
            .and_then(|b| bytemuck::try_pod_read_unaligned(b).ok())
            .ok_or(DecodeError::Length { expected: size_of::<Header>(), actual: bytes.len(), stated: 0 })?;
        match header.kind {
            kind::ADVISE => Ok(Event::Advise(advise::decode_advise(self, &read(&header, bytes)?))),
            kind::MAP => Ok(Event::Map(map::decode_map(self, &read(&header, bytes)?)?)),
            kind::FAULT => Ok(Event::Sample(Box::new(fault::decode_fault(self, &read(&header, bytes)?)))),
            kind::OOM => Ok(Event::Oom(oom::decode_oom(&read(&header, bytes)?)?)),
            kind::RECLAIM => Ok(Event::Reclaim(reclaim::decode_reclaim(self, &read(&header, bytes)?)?)),
            kind::TASK => Ok(Event::Task(task::decode_task(self, &read(&header, bytes)?)?)),
            kind::WORDS => Ok(Event::Words(Box::new(words::decode_words(&read(&header, bytes)?)))),
            kind::FATAL => Ok(Event::Fatal(Box::new(fatal::decode_fatal(&read(&header, bytes)?)?))),
            kind::BUCKETS => Ok(Event::Walk(Box::new(walk::decode_buckets(&read(&header, bytes)?)))),
            kind::GOROUTINES => Ok(Event::Walk(Box::new(walk::decode_goroutines(&read(&header, bytes)?)))),
            kind::WALK_END => Ok(Event::Walk(Box::new(walk::decode_walk_end(&read(&header, bytes)?)?))),
            other => Err(DecodeError::Kind(other)),
        }
    }

    /// Pages to bytes; a nonsensical count saturates.
    fn bytes(&self, pages: u64) -> u64 {
        pages.saturating_mul(self.page_bytes)
    }

    /// As many as so many bytes take.
    fn pages(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.page_bytes.max(1))
    }

    fn known_bytes(&self, pages: u64) -> Option<u64> {
        known(pages).map(|pages| self.bytes(pages))
    }
}

fn read<T: AnyBitPattern>(header: &Header, bytes: &[u8]) -> Result<T, DecodeError> {
    let expected = size_of::<T>();
    let wrong = DecodeError::Length { expected, actual: bytes.len(), stated: header.size };
    if u64::from(header.size) != expected as u64 {
        return Err(wrong);
    }
    bytemuck::try_pod_read_unaligned(bytes).map_err(|_| wrong)
}

fn known(value: u64) -> Option<u64> {
    (value != UNKNOWN).then_some(value)
}

fn decode_meta(header: &Header) -> Meta {
    Meta { t_ns: header.t_ns, tgid: header.tgid, tid: header.tid, target: header.target, cpu: header.cpu }
}
