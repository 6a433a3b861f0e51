//! Every release of Go in every build mode: what memtrace reads out of a stopped program is what the program has read
//! itself, number for number. `cargo xtask matrix` builds them.
use memtrace::goruntime::Runtime;
use memtrace::goruntime::mcache::PCache;
use memtrace::goruntime::memory::{Piece, ReadMemory};
use memtrace_tests::matrix::{RELEASES, built, differences_at_each_step, host, run, start};
use memtrace_tests::{Child, Memtrace, wait_until, without_sections};
use serde_json::Value;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::process::Command;

fn check(variant: &str, command: impl Fn(&str) -> Command) {
    let mut wrong = Vec::new();
    for release in RELEASES {
        let differ = differences_at_each_step(&mut command(release));
        wrong.extend(differ.into_iter().map(|of| format!("{release} {of}")));
    }
    assert!(wrong.is_empty(), "{variant}:\n{}", wrong.join("\n"));
}

fn check_program(variant: &str) {
    check(variant, |release| Command::new(built(release, variant)));
}

#[test]
fn every_number_of_a_plain_program() {
    check_program("plain");
}

#[test]
fn every_number_of_a_stripped_program() {
    check_program("stripped");
}

#[test]
fn every_number_of_a_stripped_position_independent_program() {
    check_program("pie");
}

/// Copies are removed when their programs have ended.
fn check_without_sections(variant: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    check(variant, |release| Command::new(without_sections(&built(release, variant), dir.path())));
}

#[test]
fn every_number_of_a_program_whose_section_headers_were_wiped() {
    check_without_sections("stripped");
}

#[test]
fn every_number_of_a_position_independent_program_whose_section_headers_were_wiped() {
    check_without_sections("pie");
}

#[test]
fn every_number_of_a_stripped_cgo_program() {
    check_program("cgo");
}

#[test]
fn every_number_of_a_race_detecting_program() {
    check_program("race");
}

#[test]
fn every_number_of_a_program_without_optimisation() {
    check_program("noopt");
}

#[test]
fn every_number_of_a_library_in_a_c_program() {
    check("shared", |release| {
        let mut command = Command::new(host());
        command.arg(built(release, "shared"));
        command
    });
}

/// ReadMemStats would flush them: so they are looked at without it.
#[test]
fn what_ps_have_not_flushed_is_what_the_corrected_heap_has_more() {
    for release in RELEASES {
        let mut program = start(&mut Command::new(built(release, "stripped")));
        run(&mut program, "gogc -1");
        run(&mut program, "grow 3");
        let runtime = Runtime::attach(program.pid()).expect("a runtime");
        let mut sampler = runtime.sampler().expect("a sampler");
        // The collection of the start-up may still be swept.
        let (sample, caches) = wait_until("a program at rest", || {
            let before = sampler.sample(&runtime).ok()?;
            let caches = runtime.p_caches().ok()?;
            (sampler.sample(&runtime).ok()? == before).then_some((before, caches))
        });
        let sum = |of: fn(&PCache) -> u64| caches.iter().map(of).sum::<u64>();
        let unflushed = sample.memstats.heap_alloc - sample.heap_alloc_uncorrected;
        assert!(unflushed > 0 && sum(|cache| cache.unflushed_bytes) == unflushed, "{release}: {caches:#?}");
        assert_eq!(caches.len() as u64, sample.procs, "{release}");
        // A slot for at least the next object of a class in use.
        assert!(sum(|cache| cache.spans) > 10 && sum(|cache| cache.free_bytes) > 0, "{release}: {caches:#?}");
        program.close_stdin();
        program.end();
    }
}

/// Counts how often the target is read.
struct Counting<M>(M, Cell<u32>);

impl<M: ReadMemory> ReadMemory for Counting<M> {
    fn read_pieces(&self, pieces: &mut [Piece<'_>]) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        self.0.read_pieces(pieces)
    }

    fn is_touched(&self, address: u64) -> io::Result<bool> {
        self.0.is_touched(address)
    }
}

#[test]
fn of_a_program_at_rest_one_read_says_all_from_the_third_sample_on() {
    for release in RELEASES {
        let mut program = start(&mut Command::new(built(release, "stripped")));
        run(&mut program, "gogc -1");
        let runtime = Runtime::attach(program.pid()).expect("a runtime");
        let Runtime { version, layout, globals, read_by, wait_reasons, memory } = runtime;
        let memory = Counting(memory, Cell::new(0));
        let runtime = Runtime { version, layout, globals, read_by, wait_reasons, memory };
        let mut sampler = runtime.sampler().expect("a sampler");
        let mut reads = || {
            let before = runtime.memory.1.get();
            let sample = sampler.sample(&runtime).ok()?;
            Some((runtime.memory.1.get() - before, sample))
        };
        let (_, at_rest) = wait_until("one read", || reads().filter(|(count, _)| *count == 1));
        assert_eq!(reads(), Some((1, at_rest.clone())), "{release}");
        // What it holds by then is elsewhere.
        run(&mut program, "grow 3");
        let (count, grown) = reads().expect("a sample");
        assert_eq!(count, 4, "{release}: asked in vain, and then step by step");
        assert_ne!(grown, at_rest, "{release}");
        wait_until("one read again", || reads().filter(|(count, sample)| *count == 1 && *sample == grown));
        program.close_stdin();
        program.end();
    }
}

#[test]
fn profiles_are_those_that_the_program_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    for release in RELEASES {
        let [heap, goroutines] = ["heap", "goroutines"].map(|name| dir.path().join(format!("{name}-{release}")));
        let mut program = Child::start(Command::new(built(release, "profiled")).arg(&heap).arg(&goroutines));
        let count: u64 = program.line().expect("the number of goroutines").parse().expect("a number");
        let pid = program.pid().to_string();

        let all = Memtrace::json(&["heap", "-p", &pid]);
        let stacks = all["stacks"].as_array().expect("stacks");
        assert!(stacks.len() >= 8 && all["rate_bytes"] == 4096, "{release}: {all:#}");
        let difference = Memtrace::json(&["heap", "-p", &pid, "--diff", heap.to_str().expect("UTF-8")]);
        assert_eq!(difference["stacks"], Value::Array(Vec::new()), "{release}: {difference:#}");

        let all = Memtrace::json(&["goroutines", "-p", &pid]);
        assert_eq!((&all["num_goroutine"], &all["counted"]), (&Value::from(count), &Value::from(count)), "{release}");
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for group in all["groups"].as_array().expect("groups") {
            if let Some(creator) = group["creator"]["function"].as_str() {
                *found.entry(creator.to_owned()).or_default() += group["count"].as_u64().expect("a count");
            }
        }
        let mut said: BTreeMap<String, u64> = BTreeMap::new();
        let text = std::fs::read_to_string(&goroutines).expect("the program's own list");
        for line in text.lines().filter_map(|line| line.strip_prefix("created by ")) {
            let creator = line.split(" in goroutine ").next().unwrap_or(line);
            *said.entry(creator.to_owned()).or_default() += 1;
        }
        assert_eq!((found, said.values().sum::<u64>()), (said, count - 1), "{release}");
        program.close_stdin();
        program.end();
    }
}
