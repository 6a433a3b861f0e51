//! What a service's users notice of somebody looking at its memory: latencies under load, with and without, in turn.

use anyhow::Result;

use super::super::load::Load;
use super::super::samples::Samples;
use super::subjects::Subject;
use super::{LOOK, memtrace};
use crate::progress::Step;

const RATE: u32 = 1000;
/// Short, so that whatever else the machine does falls into phases of all kinds.
const MILLIS: u32 = 2000;

/// Percentiles, as the load answers them, and how long a look took meanwhile.
pub(super) const PERCENTILES: [&str; 3] = ["p50 us", "p99 us", "p99.9 us"];
pub(super) const TOOK: &str = "look ms";

/// The first and the last phase of a round, in which nobody looks. All others, the last too, are compared with the first.
pub(super) const FIRST: &str = "nothing, first";
pub(super) const LAST: &str = "nothing, last";

/// Somebody who looks.
pub(super) struct Look {
    pub(super) name: &'static str,
    pub(super) is_ours: bool,
    pub(super) every_millis: u32,
    what: What,
}

enum What {
    Sample,
    Memtrace(&'static str),
    Page(&'static str),
}

pub(super) const LOOKS: [Look; 6] = [
    Look { name: "memtrace, a sample", is_ours: true, every_millis: 100, what: What::Sample },
    Look { name: "GET /metrics", is_ours: false, every_millis: 100, what: What::Page("/metrics") },
    Look { name: "GET /memstats", is_ours: false, every_millis: 100, what: What::Page("/memstats") },
    Look { name: "memtrace explain", is_ours: true, every_millis: 1000, what: What::Memtrace("explain") },
    Look { name: "memtrace heap", is_ours: true, every_millis: 1000, what: What::Memtrace("heap") },
    Look { name: PPROF, is_ours: false, every_millis: 1000, what: What::Page("/debug/pprof/heap?debug=1") },
];
const PPROF: &str = "GET /debug/pprof/heap?debug=1";

impl Look {
    pub(super) fn order(&self, subject: &Subject) -> String {
        match self.what {
            What::Sample => format!("sample {}", subject.pid()),
            What::Memtrace(verb) => format!("run {} {verb} -p {}", memtrace(), subject.pid()),
            What::Page(page) => format!("get {} {page}", subject.address),
        }
    }
}

pub(super) fn measure(subject: &Subject, rounds: u32) -> Result<Samples> {
    let mut samples = Samples::default();
    let (mut looker, mut load) = (Load::start(LOOK)?, Load::start(LOOK)?);
    for round in 0..rounds {
        let step = Step::start(&format!("latency, round {}/{rounds}", round + 1), "half a minute");
        let mut add = |name, figures: Vec<f64>| {
            PERCENTILES.iter().zip(figures).for_each(|(percentile, us)| samples.add(percentile, name, round, us));
        };
        let mut took = Vec::new();
        add(FIRST, phase(subject, &mut load)?);
        // No look is always the one after another.
        for look in LOOKS.iter().cycle().skip(round as usize).take(LOOKS.len()) {
            looker.ask(&format!("every {} {}", look.every_millis, look.order(subject)))?;
            add(look.name, phase(subject, &mut load)?);
            took.push((look.name, looker.figures("rest")?));
        }
        add(LAST, phase(subject, &mut load)?);
        for (name, millis) in took {
            millis.into_iter().for_each(|millis| samples.add(TOOK, name, round, millis));
        }
        step.done("measured");
    }
    Ok(samples)
}

/// From a collection on, so that none falls into a phase.
fn phase(subject: &Subject, load: &mut Load) -> Result<Vec<f64>> {
    load.figures(&format!("times 1 get {} /gc", subject.address))?;
    load.figures(&format!("requests {} {RATE} {MILLIS}", subject.address))
}
