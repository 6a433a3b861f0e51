//! What a task_struct says, by offsets from BTF.
use crate::{ids, kread, param};
use memtrace_common::params::ABSENT;
use memtrace_common::{COMM_BYTES, UNKNOWN};

#[inline(always)]
pub fn comm(task: u64) -> [u8; COMM_BYTES] {
    kread::field(task, param!(task.comm)).unwrap_or([0; COMM_BYTES])
}

#[inline(always)]
pub fn start_boottime_ns(task: u64) -> u64 {
    kread::field(task, param!(task.start_boottime)).unwrap_or(UNKNOWN)
}

/// The parent's tgid; 0: unknown, or not of memtrace's pid namespace.
#[inline(always)]
pub fn parent_tgid(task: u64) -> u32 {
    kread::pointer(task, param!(task.real_parent)).and_then(ids::of).map_or(0, |(tgid, _)| tgid)
}

/// wait(2) status of an exiting task.
#[inline(always)]
pub fn exit_code(task: u64) -> Option<i32> {
    kread::field(task, param!(task.exit_code))
}

/// wait(2) status of a process all of whose threads are ended.
#[inline(always)]
pub fn group_exit_code(task: u64) -> Option<i32> {
    let signal = kread::pointer(task, param!(task.signal))?;
    kread::field(signal, param!(task.signal_group_exit_code))
}

/// Whether the exiting task is the last of its process (do_exit has already taken it off `signal->live`).
#[inline(always)]
pub fn group_dead(task: u64) -> Option<bool> {
    let signal = kread::pointer(task, param!(task.signal))?;
    Some(kread::field::<i32>(signal, param!(task.signal_live))? == 0)
}

#[inline(always)]
pub fn mm(task: u64) -> Option<u64> {
    kread::pointer(task, param!(task.mm))
}

/// Inode numbers of the task's cgroup directories: (v1 memory hierarchy, v2); [`UNKNOWN`].
#[inline(always)]
pub fn cgroup_ids(task: u64) -> (u64, u64) {
    let Some(css_set) = kread::pointer(task, param!(task.cgroups)) else { return (UNKNOWN, UNKNOWN) };
    let subsys = param!(cgroup.memory_subsys);
    let v1 = if subsys == ABSENT || param!(cgroup.css_set_subsys) == ABSENT {
        None
    } else {
        kread::pointer(css_set, param!(cgroup.css_set_subsys) + 8 * subsys)
            .and_then(|css| kread::pointer(css, param!(cgroup.css_cgroup)))
            .and_then(cgroup_id)
    };
    let v2 = kread::pointer(css_set, param!(cgroup.css_set_dfl)).and_then(cgroup_id);
    (v1.unwrap_or(UNKNOWN), v2.unwrap_or(UNKNOWN))
}

#[inline(always)]
fn cgroup_id(cgroup: u64) -> Option<u64> {
    let node = kread::pointer(cgroup, param!(cgroup.cgroup_kn))?;
    kread::field(node, param!(cgroup.kn_id))
}
