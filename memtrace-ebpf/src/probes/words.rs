//! The last state of a target that SIGKILL or its own Go runtime ends, from its own memory, while that is still there.
use crate::counters::{Outcome, count};
use crate::emit::{self, About};
use crate::probes::oom::SIGKILL;
use crate::{ids, kread, maps, task};
use aya_ebpf::programs::RawTracePointContext;
use memtrace_common::header::flags;
use memtrace_common::kind;
use memtrace_common::names::Hook;
use memtrace_common::records::{WORD_BYTES, WORD_RANGE_BYTES, WORD_STARTS, WordsRecord};
use memtrace_common::target::Target;

/// Raw `signal_deliver(int sig, struct kernel_siginfo *info, struct k_sigaction *ka)`: in each thread of a process that is
/// killed, and in all but one of a process that exits or calls exec. Go's own SIGURG comes by here, too.
pub fn signal_deliver(ctx: &RawTracePointContext) {
    let Some((tgid, _, target)) = victim(Hook::SigDeliver, ctx) else { return };
    let Some(plan) = maps::words::plan(tgid).filter(|_| maps::words::take(tgid)) else {
        return count(Hook::SigDeliver, Outcome::Filtered);
    };
    copy(Hook::SigDeliver, target, plan);
}

/// What is planned to be copied of the current process, which is a target.
#[inline(always)]
pub fn copy(hook: Hook, target: &Target, plan: u64) {
    let (tgid, tid) = ids::current();
    let go_counters = target.go_counters;
    let about = About { kind: kind::WORDS, tgid, tid, target: target.id, t_ns: kread::now(), flags: 0 };
    emit::urgent(hook, |record: &mut WordsRecord| {
        record.header = about.header(size_of::<WordsRecord>());
        if kread::go_counters(&mut record.go, go_counters) {
            record.header.flags |= flags::GO;
        }
        // A map's memory can always be read.
        kread::kernel_into(&mut record.plan, plan);
        for (range, refused) in record.plan.ranges.iter().zip(&mut record.refused) {
            // Not a branch: each would double the paths that the verifier follows.
            *refused = kread::user_bytes::<WORD_BYTES, { WORD_STARTS as usize }, { WORD_RANGE_BYTES as usize }>(
                &mut record.bytes,
                range.start.into(),
                range.bytes.into(),
                range.address,
            );
        }
    });
}

/// A target whose end this is, and that is in its own memory: tgid, tid and who it is. All others are counted.
#[inline(always)]
pub fn victim(hook: Hook, ctx: &RawTracePointContext) -> Option<(u32, u32, &'static mut Target)> {
    let (tgid, tid) = ids::current();
    let target = if ctx.arg::<u64>(0) as u32 == SIGKILL { maps::target(tgid) } else { None };
    let code = match target {
        Some(_) => task::group_exit_code(kread::current_task()),
        None => Some(0),
    };
    match (target, code) {
        (Some(target), Some(code)) if code as u32 == SIGKILL => Some((tgid, tid, target)),
        (_, Some(_)) => {
            count(hook, Outcome::Filtered);
            None
        }
        (_, None) => {
            count(hook, Outcome::ReadFailed);
            None
        }
    }
}
