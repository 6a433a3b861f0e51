use super::{DecodeError, decode_meta, known};
use crate::event::{Extent, Stopped, Walk, WalkEnd, WalkPart};
use memtrace_common::records::walk::stop;
use memtrace_common::records::{BucketsRecord, GoroutinesRecord, WalkEndRecord};

pub(super) fn decode_buckets(record: &BucketsRecord) -> Walk {
    let bytes = record.bytes.get(..usize::try_from(record.used).unwrap_or(usize::MAX)).unwrap_or_default();
    Walk { meta: decode_meta(&record.header), part: WalkPart::Buckets(bytes.to_vec()) }
}

pub(super) fn decode_goroutines(record: &GoroutinesRecord) -> Walk {
    let count = usize::try_from(record.count).unwrap_or(usize::MAX);
    let items = record.items.get(..count).unwrap_or_default();
    Walk { meta: decode_meta(&record.header), part: WalkPart::Goroutines(items.to_vec()) }
}

pub(super) fn decode_walk_end(record: &WalkEndRecord) -> Result<Walk, DecodeError> {
    let (state, kind) = (&record.state, record.header.kind);
    let buckets = stopped(state.buckets_stop, kind)?;
    let goroutines = stopped(state.goroutines_stop, kind)?;
    let end = WalkEnd {
        took_ns: state.ended_ns.saturating_sub(state.began_ns),
        rate_bytes: known(state.rate_bytes),
        collections: known(state.collections),
        buckets: Extent {
            walked: state.buckets,
            of: (buckets == Stopped::End).then_some(state.buckets),
            one_in: 1,
            unreadable: 0,
            stopped: buckets,
        },
        goroutines: Extent {
            walked: state.goroutines,
            of: known(state.listed),
            one_in: state.one_in.max(1),
            unreadable: state.unreadable,
            stopped: goroutines,
        },
    };
    Ok(Walk { meta: decode_meta(&record.header), part: WalkPart::End(end) })
}

fn stopped(code: u32, kind: u16) -> Result<Stopped, DecodeError> {
    Ok(match code {
        stop::END => Stopped::End,
        stop::COUNT => Stopped::Count,
        stop::TIME => Stopped::Time,
        stop::UNREADABLE => Stopped::Unreadable,
        stop::RING => Stopped::RingFull,
        stop::IMPLAUSIBLE => Stopped::Implausible,
        op => return Err(DecodeError::Op { kind, op }),
    })
}
