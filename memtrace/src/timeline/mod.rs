//! The last minutes of a process: points a second apart, thinned to ten seconds for the last hours, in bounded memory.
mod marks;
mod packed;
mod signal;
#[cfg(test)]
mod tests;

pub use marks::{Mark, MarkWhat, Marks, Stalls};
pub use signal::{Kind, Point, Signal};

use packed::Chunk;
use std::collections::VecDeque;

const SECOND_NS: u64 = 1_000_000_000;

/// How long points are kept, and how many bytes they may take. A process that changes little takes less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineConfig {
    /// All points of so long.
    pub fine_ns: u64,
    /// One in `coarse_step_ns` of so long.
    pub coarse_ns: u64,
    pub coarse_step_ns: u64,
    /// Of one process: the oldest points go first. Half is for the fine ones.
    pub max_bytes: usize,
}

impl Default for TimelineConfig {
    fn default() -> Self {
        Self {
            fine_ns: 15 * 60 * SECOND_NS,
            coarse_ns: 2 * 3600 * SECOND_NS,
            coarse_step_ns: 10 * SECOND_NS,
            max_bytes: 256 << 10,
        }
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline::new(TimelineConfig::default())
    }
}

/// Of one process.
#[derive(Clone, Debug)]
pub struct Timeline {
    config: TimelineConfig,
    fine: Ring,
    coarse: Ring,
}

impl Timeline {
    pub fn new(config: TimelineConfig) -> Timeline {
        let ring = |keep_ns| Ring { chunks: VecDeque::new(), keep_ns, max_bytes: config.max_bytes / 2, dropped: 0 };
        Timeline { fine: ring(config.fine_ns), coarse: ring(config.coarse_ns), config }
    }

    /// From now on, of what is there already too: the oldest points go.
    pub fn limit(&mut self, max_bytes: usize) {
        self.config.max_bytes = max_bytes;
        for ring in [&mut self.fine, &mut self.coarse] {
            ring.max_bytes = max_bytes / 2;
            ring.fit();
        }
    }

    /// Points come in the order of their time; one that is older than the last is left out.
    pub fn push(&mut self, point: &Point) {
        if self.fine.end_ns().is_some_and(|end| end > point.t_ns) {
            return;
        }
        self.fine.push(point);
        if self.coarse.end_ns().is_none_or(|end| point.t_ns - end >= self.config.coarse_step_ns) {
            self.coarse.push(point);
        }
    }

    /// All of them, oldest first: the coarse ones up to where the fine ones begin.
    pub fn points(&self) -> Vec<Point> {
        let fine: Vec<Point> = self.fine.points().collect();
        let from = fine.first().map_or(u64::MAX, |first| first.t_ns);
        let mut all: Vec<Point> = self.coarse.points().take_while(|point| point.t_ns < from).collect();
        all.extend(fine);
        all
    }

    pub fn bytes(&self) -> usize {
        self.fine.bytes() + self.coarse.bytes()
    }

    pub fn end_ns(&self) -> Option<u64> {
        self.fine.end_ns()
    }

    pub fn newest(&self) -> Option<Point> {
        self.fine.chunks.back()?.points().last()
    }

    /// The newest stretches, oldest first, packed: all that fit. `since_ns`: only what came later.
    pub fn packed(&self, since_ns: Option<u64>, max_bytes: usize) -> Vec<Vec<u8>> {
        let from_ns = self.fine.chunks.front().map_or(u64::MAX, Chunk::start_ns);
        let since_ns = since_ns.map_or(0, |since_ns| since_ns.saturating_add(1));
        let coarse = self.coarse.chunks.iter().map(|chunk| chunk.packed(since_ns..from_ns));
        let fine = self.fine.chunks.iter().map(|chunk| chunk.packed(since_ns..u64::MAX));
        let newest = coarse.chain(fine).rev().filter(|bytes| !bytes.is_empty());
        let mut left = max_bytes;
        let mut packed: Vec<Vec<u8>> = newest
            .take_while(|bytes| {
                let fits = bytes.len() <= left;
                left = left.saturating_sub(bytes.len());
                fits
            })
            .collect();
        packed.reverse();
        packed
    }

    /// What was packed, as if its points came one by one; damage ends it.
    pub fn unpack(&mut self, packed: &[u8]) {
        packed::points(packed).for_each(|point| self.push(&point));
    }

    /// Chunks that went before their time, for want of room.
    pub fn dropped_chunks(&self) -> u64 {
        self.fine.dropped + self.coarse.dropped
    }
}

#[derive(Clone, Debug)]
struct Ring {
    chunks: VecDeque<Chunk>,
    keep_ns: u64,
    max_bytes: usize,
    dropped: u64,
}

impl Ring {
    fn push(&mut self, point: &Point) {
        if self.chunks.back().is_none_or(Chunk::is_full) {
            self.chunks.push_back(Chunk::new());
        }
        if let Some(chunk) = self.chunks.back_mut() {
            chunk.push(point);
        }
        let oldest_ns = point.t_ns.saturating_sub(self.keep_ns);
        while self.chunks.len() > 1 && self.chunks.front().is_some_and(|chunk| chunk.end_ns() < oldest_ns) {
            self.chunks.pop_front();
        }
        self.fit();
    }

    /// The last one stays: it holds at most 64 points.
    fn fit(&mut self) {
        while self.chunks.len() > 1 && self.bytes() > self.max_bytes {
            self.chunks.pop_front();
            self.dropped += 1;
        }
    }

    fn points(&self) -> impl Iterator<Item = Point> {
        self.chunks.iter().flat_map(Chunk::points)
    }

    fn end_ns(&self) -> Option<u64> {
        self.chunks.back().map(Chunk::end_ns)
    }

    fn bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum()
    }
}
