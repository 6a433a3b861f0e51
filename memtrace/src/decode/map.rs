use super::call::decode_call;
use super::{DecodeError, Decoder, decode_meta};
use crate::event::{MapEvent, MapOp};
use memtrace_common::effect::{Drops, brk_delta};
use memtrace_common::records::{MapRecord, map_op};

pub(super) fn decode_map(decoder: &Decoder, record: &MapRecord) -> Result<MapEvent, DecodeError> {
    let op = match record.op {
        map_op::MMAP => MapOp::Mmap,
        map_op::MUNMAP => MapOp::Munmap,
        map_op::MREMAP => MapOp::Mremap,
        map_op::BRK => MapOp::Brk,
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    let brk_delta_bytes = if op == MapOp::Brk { brk_delta(record.new_length, record.call.result) } else { None };
    let most_pages = match brk_delta_bytes {
        Some(delta) if delta < 0 => decoder.pages(delta.unsigned_abs()),
        Some(_) => 0,
        // an unknown old break bounds nothing
        None if op == MapOp::Brk => u64::MAX,
        None => decoder.pages(record.call.length),
    };
    let drops = Drops::of_map(record.op, record.call.result, record.map_flags);
    Ok(MapEvent {
        meta: decode_meta(&record.header),
        call: decode_call(decoder, &record.header, &record.call, most_pages, drops),
        op,
        new_length_bytes: (op == MapOp::Mremap).then_some(record.new_length),
        brk_delta_bytes,
        prot: record.prot,
        flags: record.map_flags,
    })
}
