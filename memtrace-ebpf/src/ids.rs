//! What processes and threads are called: in memtrace's pid namespace, as /proc there says it.
use crate::{kread, param};
use memtrace_common::UNKNOWN;

/// Namespaces within memtrace's own that are looked through. The kernel allows 32; a container in a container needs one.
const DEPTH: u32 = 8;

/// The current thread on this host, whatever it is called elsewhere.
#[inline(always)]
pub fn thread() -> u32 {
    kread::kernel_ids() as u32
}

/// `(tgid, tid)` of the current thread; zeros for one that memtrace's namespace does not know.
#[inline(always)]
pub fn current() -> (u32, u32) {
    if param!(pids.namespace) != 0 {
        return of(kread::current_task()).unwrap_or((0, 0));
    }
    let ids = kread::kernel_ids();
    ((ids >> 32) as u32, ids as u32)
}

/// `(tgid, tid)` of a task, as [`current`].
#[inline(always)]
pub fn of(task: u64) -> Option<(u32, u32)> {
    if param!(pids.namespace) == 0 {
        return Some((kread::field(task, param!(task.tgid))?, kread::field(task, param!(task.pid))?));
    }
    let tid = number(task)?;
    let leader = kread::pointer(task, param!(pids.group_leader))?;
    Some((if leader == task { tid } else { number(leader)? }, tid))
}

#[inline(always)]
fn number(task: u64) -> Option<u32> {
    let pid = kread::pointer(task, param!(pids.thread_pid))?;
    u32::try_from(number_of(pid)).ok()
}

/// Of its numbers (kernel/pid.c, `pid_nr_ns`) the one in memtrace's namespace, be that its own or one around it.
/// 0: none. [`UNKNOWN`]: it cannot be read. A function of its own, so that the verifier sees one loop.
#[inline(never)]
fn number_of(pid: u64) -> u64 {
    let read = || {
        let innermost: u32 = kread::field(pid, param!(pids.level))?;
        for out in 0..DEPTH {
            if out > innermost {
                break;
            }
            let upid = pid + (param!(pids.numbers) + (innermost - out) * param!(pids.upid_size)) as u64;
            let namespace = kread::pointer(upid, param!(pids.upid_ns))?;
            if kread::field::<u32>(namespace, param!(pids.ns_inum))? == param!(pids.namespace) {
                return kread::field::<u32>(upid, param!(pids.upid_nr));
            }
        }
        Some(0)
    };
    read().map_or(UNKNOWN, u64::from)
}
