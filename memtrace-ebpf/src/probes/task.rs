//! fork, exec, exit: targets come, change and go, in step with the kernel.
use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::{ids, kread, maps, param, rss, shared, target, task};
use aya_ebpf::programs::RawTracePointContext;
use memtrace_common::UNKNOWN;
use memtrace_common::header::flags as bits;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::{FaultRecord, GO_COUNTERS, TaskRecord, task_op};
use memtrace_common::target::flags;

/// What a task record says besides its header.
struct Told {
    op: u32,
    task: u64,
    other_tgid: u32,
    code: i64,
    rss_pages: u64,
    /// Where the Go counters are in the current memory, if that is the process's; 0: nowhere.
    go_counters: u64,
}

#[inline(always)]
fn tell(hook: Hook, tgid: u32, tid: u32, target: u32, told: Told) {
    let (cgroup_v1_id, cgroup_v2_id) = task::cgroup_ids(told.task);
    let about = About { kind: kind::TASK, tgid, tid, target, t_ns: kread::now(), flags: 0 };
    emit::urgent(hook, |record: &mut TaskRecord| {
        record.header = about.header(size_of::<TaskRecord>());
        record.start_boottime_ns = task::start_boottime_ns(told.task);
        record.other_tgid = told.other_tgid;
        record.op = told.op;
        record.code = told.code;
        record.rss_pages = told.rss_pages;
        record.cgroup_v1_id = cgroup_v1_id;
        record.cgroup_v2_id = cgroup_v2_id;
        record.comm = task::comm(told.task);
        record.go = [0; GO_COUNTERS];
        if kread::go_counters(&mut record.go, told.go_counters) {
            record.header.flags |= bits::GO;
        }
    });
}

/// Raw `sched_process_fork(struct task_struct *parent, struct task_struct *child)`: threads too, which are passed over.
pub fn fork(ctx: &RawTracePointContext) {
    let (parent_tgid, _) = ids::current();
    let Some(parent) = maps::target(parent_tgid) else { return count(Hook::Fork, Outcome::Filtered) };
    let child: u64 = ctx.arg(1);
    let Some((tgid, tid)) = ids::of(child) else { return count(Hook::Fork, Outcome::ReadFailed) };
    if tgid != tid {
        parent.flags |= flags::THREADS;
    }
    if tgid != tid || !target::follows(parent) {
        return count(Hook::Fork, Outcome::Filtered);
    }
    // The child shares the parent's layout until it execs: its Go counters are at the same address.
    let counters = parent.go_counters;
    let inherited = parent.flags & (flags::FOLLOW | flags::PROVISIONAL | flags::TOLD);
    let Some(id) = target::adopt(tgid, inherited) else { return count(Hook::Fork, Outcome::ReadFailed) };
    if let Some(new) = maps::target(tgid) {
        new.go_counters = counters;
    }
    let told = Told {
        op: task_op::FORK,
        task: child,
        other_tgid: parent_tgid,
        code: 0,
        rss_pages: UNKNOWN,
        go_counters: counters,
    };
    tell(Hook::Fork, tgid, tid, id, told);
}

/// Raw `sched_process_exec(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm)`: a new address space.
pub fn exec() {
    let (tgid, tid) = ids::current();
    let task = kread::current_task();
    let id = match maps::target(tgid) {
        Some(known) => {
            // Still to be judged: each exec is judged for itself, and user space drops only the one it has judged.
            if known.flags & flags::PROVISIONAL != 0
                && let Some(id) = target::new_id()
            {
                // The sums of the program before are taken out when user space has read them.
                target::sum(id, known.flags);
                known.id = id;
                if let Some(faults) = maps::faults(tgid) {
                    faults.target = id;
                }
            }
            known.go_counters = 0;
            known.mm = 0;
            // What was to be copied is where the program before had it.
            maps::words::take(tgid);
            known.flags &= !flags::THREADS;
            if known.flags & flags::FROM_EXEC != 0 {
                known.flags &= !flags::FROM_EXEC;
                // What the trampoline faulted is not the command's. Without room for figures there are none.
                let _ = param!(switches.faults) == 1 && maps::start_faults(tgid, known.id);
            }
            if let Some(faults) = maps::faults(tgid) {
                faults.epoch = faults.epoch.wrapping_add(1);
                let lost = faults.outstanding_pages;
                shared::add(&mut faults.outstanding_pages, lost.wrapping_neg());
            }
            known.id
        }
        None if param!(switches.discover) == 1 && tgid != 0 => {
            match target::adopt(tgid, flags::FOLLOW | flags::PROVISIONAL) {
                Some(id) => id,
                None => return count(Hook::Exec, Outcome::ReadFailed),
            }
        }
        None => return count(Hook::Exec, Outcome::Filtered),
    };
    let rss_pages = rss_pages(task);
    let told =
        Told { op: task_op::EXEC, task, other_tgid: task::parent_tgid(task), code: 0, rss_pages, go_counters: 0 };
    tell(Hook::Exec, tgid, tid, id, told);
}

/// Raw `sched_process_exit(struct task_struct *p, ...)`: told once, for the last thread; the target leaves the set here.
pub fn exit() {
    let (tgid, tid) = ids::current();
    let Some(target) = maps::target(tgid) else { return count(Hook::Exit, Outcome::Filtered) };
    let task = kread::current_task();
    let Some(dead) = task::group_dead(task) else { return count(Hook::Exit, Outcome::ReadFailed) };
    if !dead {
        return count(Hook::Exit, Outcome::Filtered);
    }
    let (id, go_counters) = (target.id, target.go_counters);
    // Threads that end at the same time on several CPUs all find that none is alive: who takes it out tells.
    if !maps::remove_target(tgid) {
        return count(Hook::Exit, Outcome::Filtered);
    }
    last_faults(tgid, tid, id);
    let code = task::exit_code(task).map_or(i64::MIN, |c| c as i64);
    // Before 6.18 the mm is gone by now.
    let rss_pages = rss_pages(task);
    tell(Hook::Exit, tgid, tid, id, Told { op: task_op::EXIT, task, other_tgid: 0, code, rss_pages, go_counters });
    maps::words::take(tgid);
}

#[inline(always)]
fn rss_pages(task: u64) -> u64 {
    let read = || rss::pages(task::mm(task)?, &mut maps::scratch()?.counters);
    read().unwrap_or(UNKNOWN)
}

/// The final fault figures travel with the death, so that no reader races with the reuse of the tgid.
#[inline(always)]
fn last_faults(tgid: u32, tid: u32, id: u32) {
    let Some(faults) = maps::faults(tgid) else { return };
    let about = About { kind: kind::FAULT, tgid, tid, target: id, t_ns: kread::now(), flags: 0 };
    emit::urgent(Hook::Fault, |record: &mut FaultRecord| {
        record.header = about.header(size_of::<FaultRecord>());
        record.stats = *faults;
    });
    maps::remove_faults(tgid);
}
