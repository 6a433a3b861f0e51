use super::call::decode_go;
use super::{DecodeError, Decoder, decode_meta, known};
use crate::event::{TaskEvent, TaskWhat};
use memtrace_common::records::{TaskRecord, task_op};

pub(super) fn decode_task(decoder: &Decoder, record: &TaskRecord) -> Result<TaskEvent, DecodeError> {
    let rss_bytes = decoder.known_bytes(record.rss_pages);
    // wait status and si_code are C ints, sign extended on the wire
    let code = record.code as i32;
    let what = match record.op {
        task_op::FORK => TaskWhat::Fork { parent_tgid: record.other_tgid },
        task_op::EXEC => TaskWhat::Exec { rss_bytes },
        task_op::EXIT => TaskWhat::Exit { status: code, rss_bytes },
        task_op::KILL => TaskWhat::Kill { sender_tgid: record.other_tgid, si_code: code },
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    Ok(TaskEvent {
        meta: decode_meta(&record.header),
        what,
        start_boottime_ns: known(record.start_boottime_ns),
        comm: record.comm,
        cgroup_v1_id: known(record.cgroup_v1_id),
        cgroup_v2_id: known(record.cgroup_v2_id),
        go: decode_go(&record.header, record.go),
    })
}
