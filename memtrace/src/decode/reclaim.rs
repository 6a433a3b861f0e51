use super::call::decode_go;
use super::{DecodeError, Decoder, decode_meta, known};
use crate::event::ReclaimEvent;
use memtrace_common::records::{ReclaimRecord, reclaim_op};

pub(super) fn decode_reclaim(decoder: &Decoder, record: &ReclaimRecord) -> Result<ReclaimEvent, DecodeError> {
    let memcg = match record.op {
        reclaim_op::MEMCG => true,
        reclaim_op::DIRECT => false,
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    Ok(ReclaimEvent {
        meta: decode_meta(&record.header),
        memcg,
        duration_ns: record.duration_ns,
        reclaimed_bytes: decoder.bytes(record.reclaimed_pages),
        order: (record.order != u32::MAX).then_some(record.order),
        cgroup_v1_id: known(record.cgroup_v1_id),
        cgroup_v2_id: known(record.cgroup_v2_id),
        go: decode_go(&record.header, record.go),
    })
}
