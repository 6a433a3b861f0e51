//! What to change, to what value.
use super::parts::Part;
use super::rules::{Scores, of};
use super::{Case, Cause, Growth, Pattern, account};

const MIB: u64 = 1 << 20;

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes / MIB)
}

/// The one that grew most.
fn top(rows: &[Growth]) -> Option<&Growth> {
    let grown = |row: &&Growth| {
        row.after_bytes.saturating_sub(row.before_bytes).max(row.after_count.saturating_sub(row.before_count))
    };
    rows.iter().max_by_key(grown).filter(|row| grown(row) > 0)
}

/// A cgroup's limit refuses no address space: it kills.
pub(super) fn if_refused(case: &Case<'_>) -> Option<String> {
    let what = match case.address_space_limit_bytes {
        Some(bytes) => format!("raise RLIMIT_AS (ulimit -v, LimitAS=) of {}, or keep less", mib(bytes)),
        None => "find what refuses it memory: vm.overcommit_memory, vm.max_map_count, ulimit -d".to_owned(),
    };
    (case.cause == Cause::GoOutOfMemory).then_some(what)
}

pub(super) fn advise(pattern: Pattern, scores: Option<&Scores>, case: &Case<'_>) -> Vec<String> {
    let level = |part| scores.and_then(|scores| of(&scores.shares, part)).map_or(0, |share| share.level);
    let limit = scores.map_or(0, |scores| scores.limit as u64);
    let other = [Part::OffHeap, Part::Cache, Part::Shmem, Part::Kernel, Part::Others]
        .into_iter()
        .map(level)
        .fold(0, u64::saturating_add);
    let room = limit.saturating_sub(other) / 10 * 9;
    let gomemlimit = format!("set GOMEMLIMIT to 90 % of the limit less non-Go bytes: {}", mib(room));
    // Twice the live heap is what GOGC=100 needs.
    let heap = level(Part::Live).saturating_mul(2).saturating_add(level(Part::Stacks));
    let enough = heap.saturating_add(other).max(limit.saturating_add(limit / 4));
    let raise = format!("raise the limit of {} to {}", mib(limit), mib(enough));
    let named = |rows, what: &str| match top(rows) {
        Some(row) => format!("{what} {}", row.name),
        // "…, allocated by": by whom is not known.
        None => format!("{} (no call site is known)", what.rsplit_once(',').map_or(what, |(what, _)| what)),
    };
    match pattern {
        Pattern::HeapLeak => vec![
            named(case.heap, "find what keeps these objects alive, allocated by"),
            "a higher limit only delays it".to_owned(),
        ],
        Pattern::GoroutineLeak => vec![named(case.goroutines, "find why these goroutines never end, created by")],
        Pattern::AllocationBurst => vec![gomemlimit, named(case.heap, "or allocate less at once, most by")],
        Pattern::GcDeathSpiral => vec![raise, "GOMEMLIMIT lies at the live heap: raise both, or keep less".to_owned()],
        Pattern::Fragmentation => {
            vec!["allocate what lives long apart from what does not; Go moves no objects".to_owned(), raise]
        }
        Pattern::RetainedIdle => vec![gomemlimit, "the scavenger then returns idle memory near the limit".to_owned()],
        Pattern::ThpReinflation => {
            vec![
                "set khugepaged/max_ptes_none to 0, or THP to madvise, or GODEBUG=disablethp=1 (Go 1.21.6 and later)"
                    .to_owned(),
            ]
        }
        Pattern::LazyFree => vec!["remove GODEBUG=madvdontneed=0: without it memory leaves at once".to_owned()],
        Pattern::OffHeap => vec![named(case.mappings, "find who maps or mallocs it; grown most")],
        Pattern::PageCache => vec!["unlock the mapped files (mlock, mlockall), or count them in the limit".to_owned()],
        Pattern::Shmem => vec![format!(
            "bound tmpfs (size=) and shared memory: {} now; it is charged until deleted",
            mib(level(Part::Shmem))
        )],
        Pattern::KernelMemory => {
            vec!["close or bound sockets, pipes and mappings: their buffers and tables are charged".to_owned()]
        }
        Pattern::Neighbour => {
            vec![format!("give the other processes ({}) a cgroup of their own", mib(level(Part::Others)))]
        }
        Pattern::LimitTooSmall => vec![raise],
        Pattern::NodeOom => vec!["the machine ran out: raise memory requests, or run less on it".to_owned()],
        Pattern::Unknown => match account(case) {
            Some(_) => vec!["watch it for longer before its end".to_owned()],
            None => Vec::new(),
        },
    }
}
