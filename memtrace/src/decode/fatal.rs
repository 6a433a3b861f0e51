use super::call::decode_go;
use super::{DecodeError, decode_meta, known};
use crate::event::{FatalEvent, FatalText, FatalWhat};
use memtrace_common::records::{FatalRecord, fatal_op};

pub(super) fn decode_fatal(record: &FatalRecord) -> Result<FatalEvent, DecodeError> {
    let what = match record.op {
        fatal_op::THROW => FatalWhat::Throw,
        fatal_op::FATAL => FatalWhat::Fatal,
        fatal_op::PANIC => FatalWhat::Panic,
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    let length_bytes = known(record.text_bytes);
    // An empty text is all there.
    let copied = record.text.get(..record.copied_bytes as usize).filter(|_| record.copied_bytes > 0);
    let text = FatalText {
        string_address: known(record.string_address),
        address: known(record.text_address),
        length_bytes,
        bytes: copied.map(<[u8]>::to_vec).or((length_bytes == Some(0)).then(Vec::new)),
    };
    Ok(FatalEvent {
        meta: decode_meta(&record.header),
        what,
        text,
        stack: stack(record),
        go: decode_go(&record.header, record.go),
    })
}

/// The function's own first instruction is no call. Who called it is in the stack from Linux 6.11 on, and only where the
/// function begins as a C function does.
fn stack(record: &FatalRecord) -> Vec<u64> {
    let frames = usize::try_from(record.stack_bytes).unwrap_or(0) / size_of::<u64>();
    let frames = record.stack.get(1..frames).unwrap_or_default();
    let caller = known(record.caller).filter(|caller| frames.first() != Some(caller));
    caller.into_iter().chain(frames.iter().copied().take_while(|address| *address != 0)).collect()
}
