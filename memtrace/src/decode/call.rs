use super::{Decoder, known};
use crate::event::{Call, GoCounters};
use memtrace_common::header::{Header, flags};
use memtrace_common::records;

/// What a call does to the resident pages of its range, by its own definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drops {
    /// All of them: it succeeded and unmaps.
    Resident,
    /// None (MADV_FREE, MADV_HUGEPAGE, mmap where there is room).
    Nothing,
    /// Cannot be said from the arguments alone.
    Unsaid,
}

/// `limit_bytes`: the most this call can have unmapped.
pub(super) fn decode_call(
    decoder: &Decoder,
    header: &Header,
    call: &records::Call,
    limit_bytes: u64,
    drops: Drops,
) -> Call {
    let has = |flag: u32| header.flags & flag != 0;
    let rss = has(flags::RSS);
    let resident_bytes = decoder.known_bytes(call.resident_pages);
    let fall_bytes = decoder.bytes(call.rss_before_pages.saturating_sub(call.rss_after_pages)).min(limit_bytes);
    let (unmapped_bytes, approximate) = match (resident_bytes, drops) {
        _ if limit_bytes == 0 => (Some(0), false),
        _ if has(flags::FOREIGN) || !rss => (None, false),
        // Then RSS fell for another reason, which need not have been seen.
        (_, Drops::Nothing) => (Some(0), false),
        _ if !has(flags::CONCURRENT) => (Some(fall_bytes), false),
        (Some(resident), Drops::Resident) => (Some(resident.min(limit_bytes)), false),
        _ => (Some(fall_bytes), true),
    };
    Call {
        address: call.address,
        length_bytes: call.length,
        result: call.result,
        duration_ns: call.duration_ns,
        rss_before_bytes: rss.then(|| decoder.bytes(call.rss_before_pages)),
        rss_after_bytes: rss.then(|| decoder.bytes(call.rss_after_pages)),
        resident_bytes,
        unmapped_bytes,
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
