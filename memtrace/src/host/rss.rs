//! How the probe reads a process's RSS on this kernel, and by how much it may be wrong. Measured: facts/kernel.md,
//! section 2.
use memtrace_common::params::{ABSENT, Params, rss_mode};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RssMethod {
    /// Since 6.2: the counter's common part and every CPU's part.
    Percpu,
    /// Up to 6.1: the atomic counter and what the calling thread has not yet added.
    Atomic,
    /// The counters cannot be read: no `unmapped_bytes`.
    None,
}

impl RssMethod {
    pub fn as_str(self) -> &'static str {
        match self {
            RssMethod::Percpu => "percpu",
            RssMethod::Atomic => "atomic",
            RssMethod::None => "none",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssPlan {
    pub method: RssMethod,
    pub reason: &'static str,
    /// Largest error of one reading, for a process whose other threads do not fault meanwhile; `None` where nothing is
    /// read.
    pub error_bytes: Option<u64>,
}

/// The common part alone would be off by a batch of pages for every CPU: no figure is better than that one.
pub const NO_PERCPU: RssPlan = RssPlan {
    method: RssMethod::None,
    reason: "percpu_counter, and this kernel hides where each CPU's part lies: RSS is not read",
    error_bytes: None,
};

/// `TASK_RSS_EVENTS_THRESH` of mm/memory.c: a thread adds its part to the counter after so many faults.
const CACHED_PAGES: u64 = 64;

pub fn rss_plan(params: &Params, page_bytes: u64) -> RssPlan {
    let mm = &params.mm;
    match mm.rss_mode {
        rss_mode::PERCPU if mm.bpf_array_pptrs != ABSENT => RssPlan {
            method: RssMethod::Percpu,
            reason: "percpu_counter with every CPU's part; per-CPU offsets learnt from a map of our own",
            error_bytes: Some(0),
        },
        rss_mode::PERCPU => NO_PERCPU,
        rss_mode::ATOMIC if params.task.rss_cache != ABSENT => RssPlan {
            method: RssMethod::Atomic,
            reason: "atomic counter and the calling thread's own part",
            error_bytes: Some(0),
        },
        rss_mode::ATOMIC => RssPlan {
            method: RssMethod::Atomic,
            reason: "atomic counter; what the calling thread has not yet added is unseen",
            error_bytes: Some(CACHED_PAGES * page_bytes),
        },
        _ => RssPlan {
            method: RssMethod::None,
            reason: "this kernel does not describe its RSS counters",
            error_bytes: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::offsets::{Machine, absent};
    use super::*;
    use bytemuck::Zeroable;
    use memtrace_common::params::Switches;

    #[test]
    fn each_shape_has_its_method_and_error() {
        let cases = [
            (rss_mode::PERCPU, 24, ABSENT, RssMethod::Percpu, Some(0)),
            (rss_mode::PERCPU, ABSENT, ABSENT, RssMethod::None, None),
            (rss_mode::ATOMIC, 24, 300, RssMethod::Atomic, Some(0)),
            (rss_mode::ATOMIC, 24, ABSENT, RssMethod::Atomic, Some(64 * 4096)),
            (rss_mode::NONE, 24, ABSENT, RssMethod::None, None),
        ];
        for (mode, pptrs, cache, method, error) in cases {
            let mut params =
                absent(Machine { cpus: 2, page_bytes: 4096, page_tables: 0, pid_namespace: 0 }, Switches::zeroed());
            (params.mm.rss_mode, params.mm.bpf_array_pptrs, params.task.rss_cache) = (mode, pptrs, cache);
            let plan = rss_plan(&params, 4096);
            assert_eq!((plan.method, plan.error_bytes), (method, error));
        }
    }
}
