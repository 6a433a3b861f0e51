//! Points in a row, as differences to the point before: one that has not changed takes a few bytes.
use super::{Point, Signal};
use std::ops::Range;

/// In a chunk: it begins with a whole point, and goes as a whole.
const POINTS: usize = 64;

// A bit for each signal.
const _: () = assert!(Signal::COUNT <= 64);

/// Most differences of sizes are whole KiB.
const KIB: u64 = 1024;

/// Up to 64 points.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    count: usize,
    start_ns: u64,
    end_ns: u64,
    /// Until it is full.
    open: Option<Box<Base>>,
}

/// What the next point is compared with.
#[derive(Clone, Debug)]
struct Base {
    t_ns: u64,
    /// Of a value that is absent, the one before it.
    values: [u64; Signal::COUNT],
    present: u64,
    changed: u64,
}

impl Base {
    const NOTHING: Base = Base { t_ns: 0, values: [0; Signal::COUNT], present: 0, changed: 0 };

    fn put(&mut self, point: &Point, bytes: &mut Vec<u8>) {
        let (mut present, mut changed) = (0_u64, 0_u64);
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            if let Some(value) = point.get(*signal) {
                present |= 1 << bit;
                changed |= u64::from(value != self.values[bit]) << bit;
            }
        }
        put(bytes, zigzag(point.t_ns, self.t_ns));
        // From point to point the same are there, and much the same change.
        put(bytes, present ^ self.present);
        put(bytes, changed ^ self.changed);
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            if changed & (1 << bit) != 0 {
                let value = point.get(*signal).unwrap_or(0);
                put_difference(bytes, value, self.values[bit]);
                self.values[bit] = value;
            }
        }
        (self.t_ns, self.present, self.changed) = (point.t_ns, present, changed);
    }

    fn take(&mut self, rest: &mut &[u8]) -> Option<Point> {
        self.t_ns = unzigzag(take(rest)?, self.t_ns);
        self.present ^= take(rest)?;
        self.changed ^= take(rest)?;
        let mut point = Point::at(self.t_ns);
        for (bit, signal) in Signal::ALL.iter().enumerate() {
            if self.changed & (1 << bit) != 0 {
                self.values[bit] = take_difference(rest, self.values[bit])?;
            }
            if self.present & (1 << bit) != 0 {
                point.set(*signal, self.values[bit]);
            }
        }
        Some(point)
    }
}

impl Chunk {
    pub(super) fn new() -> Self {
        Self { bytes: Vec::new(), count: 0, start_ns: u64::MAX, end_ns: 0, open: Some(Box::new(Base::NOTHING)) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count == POINTS
    }

    /// Of its newest point.
    pub(super) fn end_ns(&self) -> u64 {
        self.end_ns
    }

    /// What it holds in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>() + self.open.as_ref().map_or(0, |_| size_of::<Base>())
    }

    pub(super) fn push(&mut self, point: &Point) {
        let Some(base) = &mut self.open else { return };
        base.put(point, &mut self.bytes);
        self.start_ns = if self.count == 0 { point.t_ns } else { self.start_ns };
        self.end_ns = point.t_ns;
        self.count += 1;
        if self.is_full() {
            self.open = None;
            self.bytes.shrink_to_fit();
        }
    }

    pub(super) fn points(&self) -> impl Iterator<Item = Point> {
        points(&self.bytes)
    }

    /// Of its first point.
    pub(super) fn start_ns(&self) -> u64 {
        self.start_ns
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
    let mut base = Base::NOTHING;
    std::iter::from_fn(move || base.take(&mut rest))
}

/// Its lowest bit says whether it is in KiB.
fn put_difference(bytes: &mut Vec<u8>, value: u64, base: u64) {
    let difference = value.wrapping_sub(base).cast_signed();
    match zigzag(value, base) {
        // One that is so large leaves no room for that bit: it is taken apart.
        large if large >> 63 != 0 => {
            put(bytes, 0);
            put(bytes, large);
        }
        _ if difference % KIB.cast_signed() == 0 => {
            put(bytes, zigzag((difference / KIB.cast_signed()).cast_unsigned(), 0) << 1 | 1);
        }
        small => put(bytes, small << 1),
    }
}

fn take_difference(rest: &mut &[u8], base: u64) -> Option<u64> {
    match take(rest)? {
        0 => Some(unzigzag(take(rest)?, base)),
        coded if coded & 1 == 0 => Some(unzigzag(coded >> 1, base)),
        coded => Some(base.wrapping_add(unzigzag(coded >> 1, 0).wrapping_mul(KIB))),
    }
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
