use super::call::decode_go;
use super::decode_meta;
use crate::event::{LastWords, WordRange};
use memtrace_common::records::WordsRecord;

pub(super) fn decode_words(record: &WordsRecord) -> LastWords {
    let plan = record.plan.ranges.iter().zip(record.refused).zip(0..).filter(|((range, _), _)| range.bytes > 0);
    let ranges = plan.map(|((range, refused), index)| {
        let start = range.start as usize;
        let bytes = record.bytes.get(start..start.saturating_add(range.bytes as usize)).filter(|_| refused == 0);
        WordRange {
            address: range.address,
            bytes: bytes.map(<[u8]>::to_vec),
            was_untouched: record.plan.untouched >> index & 1 == 1,
        }
    });
    LastWords { meta: decode_meta(&record.header), go: decode_go(&record.header, record.go), ranges: ranges.collect() }
}
