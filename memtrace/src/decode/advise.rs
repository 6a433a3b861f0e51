use super::call::{Drops, decode_call};
use super::{Decoder, decode_meta};
use crate::event::AdviseEvent;
use memtrace_common::advice;
use memtrace_common::records::AdviseRecord;

pub(super) fn decode_advise(decoder: &Decoder, record: &AdviseRecord) -> AdviseEvent {
    let process_madvise = record.process != 0;
    let length = record.call.length;
    // madvise says 0, process_madvise how many bytes it advised
    let whole = if process_madvise {
        u64::try_from(record.call.result).is_ok_and(|advised| advised == length)
    } else {
        record.call.result == 0
    };
    let drops = match record.advice {
        advice::DONTNEED | advice::DONTNEED_LOCKED if whole => Drops::Resident,
        known if keeps_pages(known) => Drops::Nothing,
        _ => Drops::Unsaid,
    };
    AdviseEvent {
        meta: decode_meta(&record.header),
        call: decode_call(decoder, &record.header, &record.call, length, drops),
        advice: record.advice,
        process_madvise,
    }
}

/// Advice that leaves every mapped page mapped, whatever the other threads did to the RSS meanwhile.
fn keeps_pages(value: i32) -> bool {
    !advice::unmaps(value) && matches!(value, 0..=3 | advice::FREE | 10..=11 | 14..=20 | 22..=23)
}
