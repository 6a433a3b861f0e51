use super::call::{Drops, decode_call};
use super::{DecodeError, Decoder, decode_meta};
use crate::event::{MapEvent, MapOp};
use memtrace_common::records::{MAP_FIXED, MapRecord, map_op};

pub(super) fn decode_map(decoder: &Decoder, record: &MapRecord) -> Result<MapEvent, DecodeError> {
    let op = match record.op {
        map_op::MMAP => MapOp::Mmap,
        map_op::MUNMAP => MapOp::Munmap,
        map_op::MREMAP => MapOp::Mremap,
        map_op::BRK => MapOp::Brk,
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    let brk_delta_bytes = if op == MapOp::Brk { brk_delta(record) } else { None };
    let limit_bytes = match brk_delta_bytes {
        Some(delta) if delta < 0 => delta.unsigned_abs().checked_next_multiple_of(decoder.page_bytes.max(1)),
        Some(_) => Some(0),
        // an unknown old break bounds nothing
        None if op == MapOp::Brk => Some(u64::MAX),
        None => Some(record.call.length),
    };
    let drops = match op {
        MapOp::Munmap if record.call.result == 0 => Drops::Resident,
        MapOp::Mmap if record.map_flags & MAP_FIXED == 0 => Drops::Nothing,
        _ => Drops::Unsaid,
    };
    Ok(MapEvent {
        meta: decode_meta(&record.header),
        call: decode_call(decoder, &record.header, &record.call, limit_bytes.unwrap_or(u64::MAX), drops),
        op,
        new_length_bytes: (op == MapOp::Mremap).then_some(record.new_length),
        brk_delta_bytes,
        prot: record.prot,
        flags: record.map_flags,
    })
}

/// The system call returns the break it left behind; the record keeps the one before in `new_length`.
fn brk_delta(record: &MapRecord) -> Option<i64> {
    let before = i64::try_from(record.new_length).ok().filter(|before| *before != 0)?;
    (record.call.result >= 0).then(|| record.call.result - before)
}
