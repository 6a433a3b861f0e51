//! Points in a row, as differences to the point before: one that has not changed takes a few bytes.
use super::{Point, Signal};
use std::ops::Range;

/// In a chunk: it begins with a whole point, and goes as a whole.
const POINTS: usize = 64;

// A bit for each signal.
const _: () = assert!(Signal::COUNT <= 64);

/// Up to 64 points.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    count: usize,
    last: Point,
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, last: Point::at(0) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == POINTS
    }

    /// Of its newest point.
    pub(super) fn end_ns(&self) -> u64 {
        self.last.t_ns
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    pub(super) fn seal(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// A value that is absent keeps the one before it as the base of the next.
    pub(super) fn push(&mut self, point: &Point) {
        let mut present = 0_u64;
        let mut changed = 0_u64;
        let mut next = point.clone();
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            let base = self.last.get(*signal).unwrap_or(0);
            match point.get(*signal) {
                Some(value) => {
                    present |= 1 << bit;
                    changed |= u64::from(value != base) << bit;
                }
                None => next.set(*signal, base),
            }
        }
        put(&mut self.bytes, zigzag(point.t_ns, self.last.t_ns));
        put(&mut self.bytes, present);
        put(&mut self.bytes, changed);
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            if changed & (1 << bit) != 0 {
                let base = self.last.get(*signal).unwrap_or(0);
                put(&mut self.bytes, zigzag(point.get(*signal).unwrap_or(0), base));
            }
        }
        self.last = next;
        self.count += 1;
    }

    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
        points(&self.bytes)
    }

    /// Of its first point.
    pub(super) fn start_ns(&self) -> u64 {
        self.points().next().map_or(u64::MAX, |point| point.t_ns)
    }

    /// Its points of that time, by themselves; as they are where that is all of them.
    pub(super) fn packed(&self, time: Range<u64>) -> Vec<u8> {
        if self.end_ns() < time.start || self.start_ns() >= time.end {
            return Vec::new();
        }
        if time.contains(&self.start_ns()) && time.contains(&self.end_ns()) {
            return self.bytes.clone();
        }
        let mut part = Chunk::new();
        self.points().filter(|point| time.contains(&point.t_ns)).for_each(|point| part.push(&point));
        part.bytes
    }
}

/// Up to the end, or to where it is damaged.
pub(super) fn points(mut rest: &[u8]) -> impl Iterator<Item = Point> {
    let mut t_ns = 0;
    let mut values = [0_u64; Signal::COUNT];
    std::iter::from_fn(move || {
        t_ns = unzigzag(take(&mut rest)?, t_ns);
        let (present, changed) = (take(&mut rest)?, take(&mut rest)?);
        let mut point = Point::at(t_ns);
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            if changed & (1 << bit) != 0 {
                values[bit] = unzigzag(take(&mut rest)?, values[bit]);
            }
            if present & (1 << bit) != 0 {
                point.set(*signal, values[bit]);
            }
        }
        Some(point)
    })
}

/// The difference, small in either direction.
fn zigzag(value: u64, base: u64) -> u64 {
    let difference = value.wrapping_sub(base).cast_signed();
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

fn unzigzag(coded: u64, base: u64) -> u64 {
    let difference = (coded >> 1).cast_signed() ^ -(coded & 1).cast_signed();
    base.wrapping_add(difference.cast_unsigned())
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
