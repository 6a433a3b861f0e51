//! SIGKILL: from the kernel to an OOM victim, or from a process to a target.
use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::{ids, kread, maps, param, task};
use aya_ebpf::programs::{RawTracePointContext, TracePointContext};
use memtrace_common::UNKNOWN;
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::{GO_COUNTERS, OomRecord, TaskRecord, oom_op, task_op};

pub const SIGKILL: u32 = 9;
/// `SEND_SIG_PRIV`: sent by the kernel itself.
const FROM_KERNEL: u64 = 1;

/// Raw `signal_generate(int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)`.
pub fn signal_generate(ctx: &RawTracePointContext) {
    if ctx.arg::<u64>(0) as u32 != SIGKILL {
        return count(Hook::SigGenerate, Outcome::Filtered);
    }
    let (info, victim): (u64, u64) = (ctx.arg(1), ctx.arg(2));
    let Some((tgid, tid)) = ids::of(victim) else { return count(Hook::SigGenerate, Outcome::ReadFailed) };
    if tgid == 0 {
        return count(Hook::SigGenerate, Outcome::Filtered);
    }
    let target = maps::target(tgid).map_or(0, |t| t.id);
    if info == FROM_KERNEL {
        return oom_kill(victim, tgid, tid, target);
    }
    if target == 0 {
        return count(Hook::SigGenerate, Outcome::Filtered);
    }
    let (sender, _) = ids::current();
    let current = kread::current_task();
    let (cgroup_v1_id, cgroup_v2_id) = task::cgroup_ids(victim);
    let about = About { kind: kind::TASK, tgid, tid, target, t_ns: kread::now(), flags: 0 };
    // si_code follows si_signo and si_errno; 0 (SEND_SIG_NOINFO) has no struct behind it.
    let code = if info == 0 { 0 } else { kread::kernel::<[i32; 3]>(info).map_or(0, |i| i[2]) };
    emit::urgent(Hook::SigGenerate, |record: &mut TaskRecord| {
        record.header = about.header(size_of::<TaskRecord>());
        record.start_boottime_ns = task::start_boottime_ns(victim);
        record.other_tgid = sender;
        record.op = task_op::KILL;
        record.code = code as i64;
        record.rss_pages = UNKNOWN;
        record.cgroup_v1_id = cgroup_v1_id;
        record.cgroup_v2_id = cgroup_v2_id;
        record.comm = task::comm(current);
        // Only the memory of the sender is at hand: a process that kills itself.
        record.go = [0; GO_COUNTERS];
        if sender == tgid && kread::go_counters(&mut record.go, go_counters_of(tgid)) {
            record.header.flags |= flags::GO;
        }
    });
}

#[inline(always)]
fn oom_kill(victim: u64, tgid: u32, tid: u32, target: u32) {
    let (allocator_tgid, _) = ids::current();
    remember(victim, tgid);
    let (cgroup_v1_id, cgroup_v2_id) = task::cgroup_ids(victim);
    // The victim's memory can be read only when it is the one that asked for more.
    let go_counters = if allocator_tgid == tgid { go_counters_of(tgid) } else { 0 };
    let about = About { kind: kind::OOM, tgid, tid, target, t_ns: kread::now(), flags: 0 };
    emit::urgent(Hook::SigGenerate, |record: &mut OomRecord| {
        record.header = about.header(size_of::<OomRecord>());
        blank(record, allocator_tgid, oom_op::KILL);
        record.cgroup_v1_id = cgroup_v1_id;
        record.cgroup_v2_id = cgroup_v2_id;
        if kread::go_counters(&mut record.go, go_counters) {
            record.header.flags |= flags::GO;
        }
    });
}

#[inline(always)]
fn go_counters_of(tgid: u32) -> u64 {
    maps::target(tgid).map_or(0, |t| t.go_counters)
}

#[inline(always)]
fn blank(record: &mut OomRecord, allocator_tgid: u32, op: u32) {
    record.allocator_tgid = allocator_tgid;
    record.op = op;
    record.cgroup_v1_id = UNKNOWN;
    record.cgroup_v2_id = UNKNOWN;
    record.total_vm_kb = UNKNOWN;
    record.anon_rss_kb = UNKNOWN;
    record.file_rss_kb = UNKNOWN;
    record.shmem_rss_kb = UNKNOWN;
    record.page_tables_kb = UNKNOWN;
    record.oom_score_adj = i64::MIN;
    record.go = [0; GO_COUNTERS];
}

/// The mark that follows knows the victim by its number in the initial pid namespace alone.
#[inline(always)]
fn remember(victim: u64, tgid: u32) {
    if param!(pids.namespace) == 0 {
        return;
    }
    if let (Some(host), Some(pid)) = (maps::host(), kread::field::<u32>(victim, param!(task.pid))) {
        host.victim = (pid as u64) << 32 | tgid as u64;
    }
}

/// `(tgid, tid)` of the task that is marked; zeros for one that memtrace's namespace does not know.
#[inline(always)]
fn remembered(pid: u32) -> (u32, u32) {
    if param!(pids.namespace) == 0 {
        return (pid, pid);
    }
    match maps::host() {
        Some(host) if host.victim >> 32 == pid as u64 => (host.victim as u32, host.victim as u32),
        _ => (0, 0),
    }
}

/// `oom:mark_victim`: pid always, the totals where this kernel's format has them, in kB.
pub fn mark_victim(ctx: &TracePointContext) {
    let Some(pid) = kread::trace_field::<u32>(ctx, param!(trace.victim_pid)) else {
        return count(Hook::MarkVictim, Outcome::ReadFailed);
    };
    let total = |offset: u32| kread::trace_field::<u64>(ctx, offset).unwrap_or(UNKNOWN);
    let total_vm_kb = total(param!(trace.victim_total_vm));
    let anon_rss_kb = total(param!(trace.victim_anon_rss));
    let file_rss_kb = total(param!(trace.victim_file_rss));
    let shmem_rss_kb = total(param!(trace.victim_shmem_rss));
    let page_tables_kb = total(param!(trace.victim_page_tables));
    let adj = kread::trace_field::<i16>(ctx, param!(trace.victim_oom_score_adj)).map_or(i64::MIN, |a| a as i64);
    // A task: a thread of a victim that stumbles over the limit again on its way out is marked, too.
    let (allocator_tgid, allocator_tid) = ids::current();
    let (tgid, tid) = if pid == ids::thread() { (allocator_tgid, allocator_tid) } else { remembered(pid) };
    if tgid == 0 {
        return count(Hook::MarkVictim, Outcome::Filtered);
    }
    let target = maps::target(tgid).map_or(0, |t| t.id);
    let about = About { kind: kind::OOM, tgid, tid, target, t_ns: kread::now(), flags: 0 };
    emit::urgent(Hook::MarkVictim, |record: &mut OomRecord| {
        record.header = about.header(size_of::<OomRecord>());
        blank(record, allocator_tgid, oom_op::VICTIM);
        record.total_vm_kb = total_vm_kb;
        record.anon_rss_kb = anon_rss_kb;
        record.file_rss_kb = file_rss_kb;
        record.shmem_rss_kb = shmem_rss_kb;
        record.page_tables_kb = page_tables_kb;
        record.oom_score_adj = adj;
        if allocator_tgid == tgid && kread::go_counters(&mut record.go, go_counters_of(tgid)) {
            record.header.flags |= flags::GO;
        }
    });
}
