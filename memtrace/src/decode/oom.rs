use super::call::decode_go;
use super::{DecodeError, decode_meta, known};
use crate::event::{OomEvent, OomWhat};
use memtrace_common::records::{OomRecord, oom_op};

pub(super) fn decode_oom(record: &OomRecord) -> Result<OomEvent, DecodeError> {
    let what = match record.op {
        oom_op::KILL => {
            OomWhat::Kill { cgroup_v1_id: known(record.cgroup_v1_id), cgroup_v2_id: known(record.cgroup_v2_id) }
        }
        oom_op::VICTIM => OomWhat::Victim {
            total_vm_bytes: kb(record.total_vm_kb),
            anon_rss_bytes: kb(record.anon_rss_kb),
            file_rss_bytes: kb(record.file_rss_kb),
            shmem_rss_bytes: kb(record.shmem_rss_kb),
            page_tables_bytes: kb(record.page_tables_kb),
            oom_score_adj: (record.oom_score_adj != i64::MIN).then_some(record.oom_score_adj),
        },
        op => return Err(DecodeError::Op { kind: record.header.kind, op }),
    };
    Ok(OomEvent {
        meta: decode_meta(&record.header),
        allocator_tgid: record.allocator_tgid,
        what,
        go: decode_go(&record.header, record.go),
    })
}

fn kb(value: u64) -> Option<u64> {
    known(value).map(|kb| kb.saturating_mul(1024))
}
