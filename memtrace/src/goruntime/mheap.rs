//! How far the collector's sweep has come (Go mheap.go, mgcsweep.go): what MemStats has no field for.
use super::bytes::Bytes;
use super::mcache::PCache;
use super::memory::{Piece, ReadMemory};
use super::runtime::{Runtime, RuntimeError};
use super::spans::{Classes, GO_PAGE_BYTES};

/// `runtime.mheap_` at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mheap {
    /// Grows by 2 with every collection.
    pub sweepgen: u32,
    /// Spans of objects and of stacks, bytes.
    pub in_use_bytes: u64,
    /// Swept in this cycle.
    pub swept_bytes: u64,
    /// Bytes to be swept for each byte allocated; 0: the sweep is over.
    pub sweep_ratio: f64,
    /// Swept by allocations beyond what they needed: the next ones need sweep so much less.
    pub reclaim_credit_bytes: u64,
    /// Entries of the table of spans, dead ones too.
    pub spans: u64,
    /// Arenas, 64 MiB each on 64-bit Linux.
    pub arenas: u64,
}

/// The allocator's own state, as it explains what a heap's spans do not use.
#[derive(Clone, Debug, PartialEq)]
pub struct Allocator {
    pub mheap: Mheap,
    pub p_caches: Vec<PCache>,
    pub classes: Classes,
    /// Spans that are free to be used again.
    pub dead_spans: u64,
    /// Torn by the running target: left out of the classes.
    pub damaged_spans: u64,
}

impl<M: ReadMemory> Runtime<M> {
    pub fn mheap(&self) -> Result<Mheap, RuntimeError> {
        let mheap = &self.layout.mheap;
        let fields = [
            mheap.sweepgen,
            mheap.pages_in_use,
            mheap.pages_swept,
            mheap.sweep_pages_per_byte,
            mheap.reclaim_credit,
            mheap.allspans.saturating_add(8),
            mheap.all_arenas.saturating_add(8),
        ];
        let mut words = [[0u8; 8]; 7];
        let at = |offset: u32| self.globals.mheap.saturating_add(offset.into());
        let mut pieces: Vec<Piece<'_>> =
            fields.iter().zip(&mut words).map(|(offset, buffer)| Piece { address: at(*offset), buffer }).collect();
        self.memory.read_pieces(&mut pieces)?;
        let [sweepgen, in_use, swept, ratio, credit, spans, arenas] = words.map(u64::from_le_bytes);
        let bytes = |pages: u64| pages.saturating_mul(GO_PAGE_BYTES);
        Ok(Mheap {
            sweepgen: Bytes(&sweepgen.to_le_bytes()).u32(0)?,
            in_use_bytes: bytes(in_use),
            swept_bytes: bytes(swept),
            sweep_ratio: f64::from_bits(ratio) * GO_PAGE_BYTES as f64,
            reclaim_credit_bytes: bytes(credit),
            spans,
            arenas,
        })
    }
}
