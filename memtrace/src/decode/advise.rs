use super::call::decode_call;
use super::{Decoder, decode_meta};
use crate::event::AdviseEvent;
use memtrace_common::effect::Drops;
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
    let drops = Drops::of_advice(record.advice, whole);
    AdviseEvent {
        meta: decode_meta(&record.header),
        call: decode_call(decoder, &record.header, &record.call, decoder.pages(length), drops),
        advice: record.advice,
        process_madvise,
    }
}
