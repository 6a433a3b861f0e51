use super::{Decoder, known};
use crate::event::{Call, GoCounters};
use memtrace_common::effect::{Drops, Seen};
use memtrace_common::header::{Header, flags};
use memtrace_common::records;

/// `most_pages`: no more can it have unmapped.
pub(super) fn decode_call(
    decoder: &Decoder,
    header: &Header,
    call: &records::Call,
    most_pages: u64,
    drops: Drops,
) -> Call {
    let has = |flag: u32| header.flags & flag != 0;
    let rss = has(flags::RSS);
    let resident_bytes = decoder.known_bytes(call.resident_pages);
    let seen = Seen {
        flags: header.flags,
        rss_before_pages: call.rss_before_pages,
        rss_after_pages: call.rss_after_pages,
        resident_pages: call.resident_pages,
    };
    let (unmapped_pages, approximate) = seen.unmapped(most_pages, drops);
    Call {
        address: call.address,
        length_bytes: call.length,
        result: call.result,
        duration_ns: call.duration_ns,
        rss_before_bytes: rss.then(|| decoder.bytes(call.rss_before_pages)),
        rss_after_bytes: rss.then(|| decoder.bytes(call.rss_after_pages)),
        resident_bytes,
        unmapped_bytes: decoder.known_bytes(unmapped_pages),
        freed_bytes: decoder.known_bytes(call.freed_pages),
        approximate,
        go: decode_go(header, call.go),
        stack_id: u32::try_from(call.stack_id).ok(),
    }
}

/// Shared with the oom family, whose records carry the victim's counters.
pub(super) fn decode_go(header: &Header, go: [u64; records::GO_COUNTERS]) -> Option<GoCounters> {
    let [inuse, released, free, total_alloc, total_free, mapped_ready] = go;
    (header.flags & flags::GO != 0 && go.iter().all(|value| known(*value).is_some())).then_some(GoCounters {
        heap_inuse_bytes: inuse,
        heap_released_bytes: released,
        heap_free_bytes: free,
        total_alloc_bytes: total_alloc,
        total_free_bytes: total_free,
        mapped_ready_bytes: mapped_ready,
    })
}
