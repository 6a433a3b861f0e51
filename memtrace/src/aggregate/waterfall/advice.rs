//! One line on what changes a bucket, for this kernel and Go version.
use super::{Context, FreeSlots};

/// Below this share of RSS, and below so many bytes, there is nothing to gain.
const WORTH: f64 = 0.01;
const WORTH_BYTES: u64 = 1 << 20;

pub(super) fn of(bucket: &str, bytes: u64, rss_bytes: u64, context: &Context) -> Option<String> {
    if bytes < WORTH_BYTES || (bytes as f64) < rss_bytes as f64 * WORTH {
        return None;
    }
    match bucket {
        "released_thp_reinflation" => Some(thp(context)),
        "released_lazy_free" => Some(
            "the kernel takes it under memory pressure; without GODEBUG=madvdontneed=0 (Go's default since 1.16) it leaves RSS at once"
                .to_owned(),
        ),
        "idle_resident" => Some(
            "the scavenger returns it in the background; GOMEMLIMIT makes it do so near the limit, debug.FreeOSMemory at once"
                .to_owned(),
        ),
        "garbage_and_floating" => {
            Some("collected by the next GC; a lower GOGC or a GOMEMLIMIT keeps less of it, for more GC work".to_owned())
        }
        "free_slots" if !context.free_slots.is_empty() => Some(free_slots(&context.free_slots)),
        _ => None,
    }
}

/// Go never moves an object, so that one of them keeps its whole span.
fn free_slots(slots: &[FreeSlots]) -> String {
    let one = |of: &FreeSlots| {
        let (mib, used) = (of.free_bytes as f64 / f64::from(1 << 20), 100.0 * of.used_ratio);
        format!("{} B ({mib:.1} MiB free, {used:.0} % used)", of.elem_bytes)
    };
    let all: Vec<String> = slots.iter().map(one).collect();
    format!("waits for new objects of the same size, since Go moves none; most in size classes {}", all.join(", "))
}

/// khugepaged fills up to max_ptes_none empty pages to make a huge one.
fn thp(context: &Context) -> String {
    let set = match &context.thp {
        Some(thp) => {
            let ptes = thp.max_ptes_none.map_or("unknown".to_owned(), |n| n.to_string());
            format!("THP is {} and khugepaged/max_ptes_none {ptes} on kernel {}", thp.enabled, context.release)
        }
        None => format!("khugepaged on kernel {}", context.release),
    };
    let own = match context.go_version.as_deref() {
        Some(version) if has_disablethp(version) => format!(", or GODEBUG=disablethp=1 ({version})"),
        _ => ", or prctl(PR_SET_THP_DISABLE) before the program starts".to_owned(),
    };
    format!("{set}: set max_ptes_none to 0 or THP to madvise{own}")
}

/// From 1.21.6 on (Go runtime/extern.go; golang/go#64332).
fn has_disablethp(version: &str) -> bool {
    let Some(numbers) = version.strip_prefix("go1.") else { return false };
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let (minor, patch) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    minor > 21 || (minor == 21 && patch >= 6)
}
