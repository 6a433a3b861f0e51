//! The last words of processes that are killed, by the probes alone: memtrace as a library.
use crate::matrix::{run, start};
use crate::procfs::process_state;
use crate::wait::wait_until;
use memtrace::decode::Decoder;
use memtrace::event::{Event, LastWords, TaskWhat};
use memtrace::goruntime::{Located, Runtime, Sample, Walked, find, plan_walk, plan_words, sample_of_words};
use memtrace::host::Host;
use memtrace::host::plan::Want;
use memtrace::kernel::{self, Kernel, Rings, Sizes};
use memtrace_common::params::Switches;
use memtrace_common::records::WalkPlan;
use std::process::Command;

const SWITCHES: Switches = Switches {
    self_tgid: 0,
    exact: 0,
    stacks: 0,
    faults: 0,
    sums: 0,
    discover: 0,
    min_pages: 0,
    families: 0,
    wakeup_bytes: 1 << 20,
};

/// The probes of a death, and what they sent.
pub struct Words {
    kernel: Kernel,
    rings: Rings,
    decoder: Decoder,
    seen: Vec<Event>,
    /// For a walk, and for its first half; emulated machines are slow, and others are busy.
    pub budget_ns: u64,
}

impl Words {
    #[track_caller]
    pub fn start() -> Self {
        let host = Host::read();
        let (params, missing) = host.params(SWITCHES);
        let plan = host.plan(&params, &missing, &Want { faults: false, ..Want::default() });
        let mut kernel =
            kernel::load(&params, Sizes::default(), &plan, host.facts.version, false).expect("the object loads");
        let rings = kernel.rings().expect("the rings");
        for name in ["sig_deliver", "sig_walk", "task_exec", "task_exit"] {
            kernel.attach(plan.probe(name).expect("a probe")).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
        Self {
            kernel,
            rings,
            decoder: Decoder { page_bytes: host.facts.page_bytes },
            seen: Vec::new(),
            budget_ns: 10_000_000_000,
        }
    }

    /// Observes a Go program; where its runtime is.
    #[track_caller]
    pub fn observe(&mut self, pid: u32) -> Located {
        let found = find(pid).expect("a Go program");
        let located = found.located.clone().expect("a runtime");
        let words = plan_words(pid, &found).expect("a plan").expect("a runtime");
        self.kernel.add_target(pid, located.counters_address(), 0).expect("a target");
        self.kernel.set_words(pid, &words).expect("room");
        let walk = WalkPlan { all_ns: self.budget_ns, buckets_ns: self.budget_ns, ..plan_walk(&located) };
        self.kernel.set_walk(pid, &walk).expect("room");
        located
    }

    /// The last words of a process, until its end.
    #[track_caller]
    pub fn of(&mut self, pid: u32) -> Vec<LastWords> {
        let words = self.until_the_end(pid).iter().filter_map(|event| match event {
            Event::Words(words) if words.meta.tgid == pid => Some((**words).clone()),
            _ => None,
        });
        words.collect()
    }

    /// What was walked of it.
    #[track_caller]
    pub fn walked(&mut self, pid: u32) -> Walked {
        let mut walked = Walked::default();
        for event in self.until_the_end(pid) {
            if let Event::Walk(walk) = event
                && walk.meta.tgid == pid
            {
                assert!(walked.end().is_none(), "{walk:?} behind the end");
                walked.add(&walk.part);
            }
        }
        walked
    }

    fn until_the_end(&mut self, pid: u32) -> &[Event] {
        wait_until("the end of the process", || {
            // A preemptible kernel may leave out the record of an exit; what was sent before is there by then.
            let is_over = is_over(pid);
            while let Some(record) = self.rings.urgent.next() {
                self.seen.push(self.decoder.decode(&record).expect("a record"));
            }
            let ended = |event: &Event| matches!(event, Event::Task(task) if task.meta.tgid == pid && matches!(task.what, TaskWhat::Exit { .. }));
            (self.seen.iter().any(ended) || is_over).then_some(())
        });
        &self.seen
    }
}

/// No thread of it will run again.
fn is_over(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads <= 1 && process_state(pid).is_none_or(|state| state == 'Z')
}

/// A Go program that has stopped itself right after ReadMemStats is killed: what its last words say, against what was read
/// of it while it stood still. Every number that differs.
#[track_caller]
pub fn differences_of_last_words(command: &mut Command) -> Vec<String> {
    let mut program = start(command);
    for step in ["mix", "go", "procs 5", "gc", "gogc 50", "limit 300"] {
        run(&mut program, step);
    }
    let pid = program.pid();
    let mut words = Words::start();
    let located = words.observe(pid);
    let runtime = Runtime::attach(pid).expect("a runtime");
    let mut sampler = runtime.sampler().expect("a sampler");
    // Threads of the runtime may still be at work between ReadMemStats and the stop: then the program was not at rest.
    let expected = wait_until("a program at rest", || {
        program.say("stats");
        wait_until("the program to stop itself", || (process_state(pid) == Some('T')).then_some(()));
        let sample = sampler.sample(&runtime).expect("a sample");
        if sample.heap_alloc_uncorrected == sample.memstats.heap_alloc && sample.skew_bytes == 0 {
            return Some(sample);
        }
        program.signal(libc::SIGCONT);
        program.line().expect("the statistics");
        None
    });
    program.signal(libc::SIGKILL);
    let said = words.of(pid);
    program.end();
    let [said] = &said[..] else { return vec![format!("{} last words", said.len())] };
    let mut differ = Vec::new();
    match sample_of_words(&located, said) {
        Err(why) => differ.push(why.to_string()),
        Ok(sample) if sample == (Sample { is_flushed: false, ..expected.clone() }) => {}
        Ok(sample) => differ.push(format!("{sample:#?} are not {expected:#?}")),
    }
    let go = said.go.expect("the Go counters");
    let memstats = &expected.memstats;
    let counters = (go.heap_inuse_bytes, go.heap_released_bytes, go.total_alloc_bytes);
    if counters != (memstats.heap_inuse, memstats.heap_released, memstats.total_alloc) {
        differ.push(format!("{go:?} are not {memstats:?}"));
    }
    differ
}
