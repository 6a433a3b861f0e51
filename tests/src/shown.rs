//! What Prometheus shows of a Go program, against what the program says of itself.
use crate::service::Service;
use crate::truth::Truth;
use crate::wait::wait_until;
use serde_json::Value;

/// By the metric that says it.
pub const SAID: &[(&str, &str)] = &[
    ("memtrace_go_heap_inuse_bytes", "heap_inuse_bytes"),
    ("memtrace_go_heap_idle_bytes", "heap_idle_bytes"),
    ("memtrace_go_heap_released_bytes", "heap_released_bytes"),
    ("memtrace_go_heap_alloc_bytes", "heap_alloc_bytes"),
    ("memtrace_go_allocated_bytes_total", "total_alloc_bytes"),
    ("memtrace_go_gc_cycles_total", "num_gc"),
];

/// The program at rest, and Prometheus showing exactly that; what it said. `also`: metrics beside [`SAID`].
#[track_caller]
pub fn assert_shown(prometheus: &Service, truth: &mut Truth, also: &[(&str, &str)]) -> Value {
    let (said, ()) = truth.compare(|| ());
    let pid = truth.pid();
    for (metric, key) in SAID.iter().chain(also) {
        let counted = said[key].as_f64().expect("a number");
        let expression = format!("{metric}{{pid=\"{pid}\"}}");
        wait_until(&format!("{expression} to be {counted}"), || {
            (prometheus.value(&expression) == Some(counted)).then_some(())
        });
    }
    said
}
