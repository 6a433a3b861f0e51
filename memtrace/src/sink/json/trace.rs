//! `memtrace.trace/1`.
use super::TRACE_SCHEMA;
use super::told::pressure_detail;
use crate::event::{Call, Event, GoCounters, LastWords, MapOp, Meta, OomWhat, TaskWhat};
use crate::sink::{Frame, TraceLine};
use memtrace_common::advice;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;

#[derive(Serialize)]
pub(super) struct TraceJson<'a> {
    schema: &'static str,
    kind: &'static str,
    t_ns: u64,
    family: &'static str,
    op: &'static str,
    pid: u32,
    tid: Option<u32>,
    target: u32,
    comm: Option<&'a str>,
    address: Option<u64>,
    length_bytes: Option<u64>,
    advice: Option<Cow<'static, str>>,
    result: Option<i64>,
    duration_ns: Option<u64>,
    unmapped_bytes: Option<u64>,
    freed_bytes: Option<u64>,
    resident_bytes: Option<u64>,
    approximate: Option<bool>,
    heap: Option<HeapJson>,
    stack: Option<Vec<FrameJson<'a>>>,
    /// What only this family knows; absent for `advise`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    detail: Map<String, Value>,
}

#[derive(Serialize)]
pub(super) struct HeapJson {
    inuse_bytes: u64,
    released_bytes: u64,
    free_bytes: u64,
    mapped_ready_bytes: u64,
    total_alloc_bytes: u64,
    total_free_bytes: u64,
}

#[derive(Serialize)]
struct FrameJson<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
}

impl<'a> TraceJson<'a> {
    pub(super) fn of(line: &TraceLine<'a>) -> Option<Self> {
        let (family, op) = crate::sink::trace::family_and_op(line.event)?;
        let mut json = Self::empty(line, line.event.meta()?, family, op);
        match line.event {
            Event::Advise(e) => {
                json.call(&e.call);
                json.advice =
                    Some(advice::name(e.advice).map_or_else(|| format!("advice_{}", e.advice).into(), Cow::Borrowed));
            }
            Event::Map(e) => {
                json.call(&e.call);
                json.detail = object(match e.op {
                    MapOp::Mmap => json!({"prot": e.prot, "flags": e.flags}),
                    MapOp::Munmap => json!({}),
                    MapOp::Mremap => json!({"new_length_bytes": e.new_length_bytes, "flags": e.flags}),
                    MapOp::Brk => json!({"delta_bytes": e.brk_delta_bytes}),
                });
            }
            Event::Reclaim(e) => {
                json.duration_ns = Some(e.duration_ns);
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(json!({
                    "reclaimed_bytes": e.reclaimed_bytes, "order": e.order,
                    "cgroup_v1_id": e.cgroup_v1_id, "cgroup_v2_id": e.cgroup_v2_id,
                }));
            }
            Event::Oom(e) => {
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(oom_detail(e.allocator_tgid, &e.what));
            }
            Event::Task(e) => {
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(task_detail(e));
            }
            Event::Words(e) => {
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(words_detail(e));
            }
            Event::Fatal(e) => {
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(json!({"error": e.what.name(), "message": line.message}));
            }
            Event::Pressure(e) => {
                json.heap = e.go.as_ref().map(HeapJson::of);
                json.detail = object(pressure_detail(&e.told));
            }
            Event::Walk(_) | Event::Sample(_) => return None,
        }
        Some(json)
    }

    fn empty(line: &TraceLine<'a>, meta: &Meta, family: &'static str, op: &'static str) -> Self {
        Self {
            schema: TRACE_SCHEMA,
            kind: "event",
            t_ns: meta.t_ns,
            family,
            op,
            pid: meta.tgid,
            tid: Some(meta.tid).filter(|tid| *tid != 0),
            target: meta.target,
            comm: line.comm,
            address: None,
            length_bytes: None,
            advice: None,
            result: None,
            duration_ns: None,
            unmapped_bytes: None,
            freed_bytes: None,
            resident_bytes: None,
            approximate: None,
            heap: None,
            stack: line.stack.map(|frames| frames.iter().map(FrameJson::of).collect()),
            detail: Map::new(),
        }
    }

    fn call(&mut self, call: &Call) {
        self.address = Some(call.address);
        self.length_bytes = Some(call.length_bytes);
        self.result = Some(call.result);
        self.duration_ns = Some(call.duration_ns);
        self.unmapped_bytes = call.unmapped_bytes;
        self.freed_bytes = call.freed_bytes;
        self.resident_bytes = call.resident_bytes;
        self.approximate = Some(call.approximate);
        self.heap = call.go.as_ref().map(HeapJson::of);
    }
}

fn oom_detail(allocator_pid: u32, what: &OomWhat) -> Value {
    match what {
        OomWhat::Kill { cgroup_v1_id, cgroup_v2_id } => {
            json!({"allocator_pid": allocator_pid, "cgroup_v1_id": cgroup_v1_id, "cgroup_v2_id": cgroup_v2_id})
        }
        OomWhat::Victim {
            total_vm_bytes,
            anon_rss_bytes,
            file_rss_bytes,
            shmem_rss_bytes,
            page_tables_bytes,
            oom_score_adj,
        } => json!({
            "allocator_pid": allocator_pid, "total_vm_bytes": total_vm_bytes, "anon_rss_bytes": anon_rss_bytes,
            "file_rss_bytes": file_rss_bytes, "shmem_rss_bytes": shmem_rss_bytes,
            "page_tables_bytes": page_tables_bytes, "oom_score_adj": oom_score_adj,
        }),
    }
}

fn words_detail(words: &LastWords) -> Value {
    let read = words.ranges.iter().filter_map(|range| range.bytes.as_ref());
    json!({
        "copied_bytes": read.clone().map(Vec::len).sum::<usize>(),
        "absent_ranges": words.ranges.len() - read.count(),
    })
}

fn task_detail(event: &crate::event::TaskEvent) -> Value {
    let name = event.comm_text();
    match event.what {
        TaskWhat::Fork { parent_tgid } => json!({"parent_pid": parent_tgid, "task_comm": name}),
        TaskWhat::Exec { rss_bytes } => json!({"rss_bytes": rss_bytes, "task_comm": name}),
        TaskWhat::Exit { status, rss_bytes } => {
            json!({"status": status, "rss_bytes": rss_bytes, "task_comm": name})
        }
        TaskWhat::Kill { sender_tgid, si_code } => {
            json!({"sender_pid": sender_tgid, "sender_comm": name, "si_code": si_code})
        }
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl HeapJson {
    pub(super) fn of(go: &GoCounters) -> Self {
        Self {
            inuse_bytes: go.heap_inuse_bytes,
            released_bytes: go.heap_released_bytes,
            free_bytes: go.heap_free_bytes,
            mapped_ready_bytes: go.mapped_ready_bytes,
            total_alloc_bytes: go.total_alloc_bytes,
            total_free_bytes: go.total_free_bytes,
        }
    }
}

impl<'a> FrameJson<'a> {
    fn of(frame: &'a Frame) -> Self {
        Self { function: frame.function.as_deref(), file: frame.file.as_deref(), line: frame.line }
    }
}
