//! Random sequences of calls against one plain state for each page, to the byte.
mod model;

use crate::{ledger_of, pages};
use memtrace_tests::{CHUNK, PAGE, Pages, differences};
use model::{Call, Model, Op};
use serde_json::Value;
use std::hash::{BuildHasher as _, RandomState};

/// Calls to the kernel and touches of one thread.
const CALLS: usize = 400;
/// Commands of one thread in one `par`: the workload keeps no more answers.
const ROUND: usize = 50;
/// Begins and ends inside a chunk.
const FIRST: u64 = CHUNK - 300;
const PAGES: u64 = 2 * CHUNK + 100;

/// SplitMix64: the sequence is the seed's, on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// Draws calls; what they do to the pages is known at once, so that every touch finds memory.
struct Sequence {
    seed: u64,
    random: Random,
    model: Model,
    /// With other threads around, what a failed call returned is not exact: nothing that can return memory fails.
    is_alone: bool,
    /// Drawn together with the one before.
    next: Vec<Call>,
    commands: Vec<String>,
}

impl Sequence {
    fn new(seed: u64, first: u64, is_alone: bool) -> Self {
        let model = Model::new(first..first + PAGES);
        let whole = Call { op: Op::Map, address: first * PAGE, length: PAGES * PAGE };
        let next = vec![small_pages(whole), whole];
        Self { seed, random: Random(seed), model, is_alone, next, commands: Vec::new() }
    }

    /// The next command, and the errno that must come of it.
    fn step(&mut self) -> (String, i32) {
        let call = self.next.pop().unwrap_or_else(|| self.draw());
        let errno = self.model.apply(&call);
        if errno == 0 && matches!(call.op, Op::Map | Op::Over) && self.next.is_empty() {
            self.next.push(small_pages(call));
        }
        let command = call.command();
        self.commands.push(command.clone());
        (command, errno)
    }

    fn draw(&mut self) -> Call {
        let region = self.model.region();
        let start = region.start + self.random.below(PAGES);
        let most = [1, 8, 60, 700][self.random.below(4) as usize];
        let end = (start + 1 + self.random.below(most)).min(region.end);
        let op = match self.random.below(100) {
            0..30 => Op::Write,
            30..38 => Op::Read,
            38..62 => Op::Advise("dontneed"),
            62..66 => Op::Advise("dontneed_locked"),
            66..72 => Op::Advise("free"),
            72..76 => Op::Advise("populate_write"),
            76..78 => Op::Advise("cold"),
            78..80 if self.is_alone => Op::Advise("77"),
            80..88 => Op::Unmap,
            88..92 => Op::Over,
            _ => Op::Map,
        };
        let wanted = match op {
            Op::Write | Op::Read => Some(true),
            Op::Map if self.random.one_in(2) => Some(false),
            _ => None,
        };
        // Where there is nothing of the kind, mapping over it is always possible.
        let (op, pages) = match wanted {
            Some(mapped) => self.model.run(start..end, mapped).map_or((Op::Over, start..end), |run| (op, run)),
            None => (op, start..end),
        };
        let mut call = Call { op, address: pages.start * PAGE, length: (pages.end - pages.start) * PAGE };
        if wanted != Some(true) {
            self.bend(&mut call);
        }
        if !self.is_alone && op == Op::Unmap {
            // No holes: the next call maps it again.
            let again = Call { op: Op::Map, ..call };
            self.next.extend([small_pages(again), again]);
        }
        call
    }

    /// Some lengths and addresses are no multiple of a page.
    fn bend(&mut self, call: &mut Call) {
        if self.random.one_in(6) {
            call.length -= self.random.below(PAGE);
        }
        if self.is_alone && self.random.one_in(15) {
            call.address += self.random.below(PAGE);
        }
        if self.is_alone && self.random.one_in(30) {
            call.length = 0;
        }
    }

    fn says(&self) -> String {
        format!("seed {}:\n{}", self.seed, self.commands.join("\n"))
    }
}

/// One fault, one page.
fn small_pages(call: Call) -> Call {
    Call { op: Op::Advise("nohugepage"), ..call }
}

/// What this process does not know beforehand.
fn new_seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[track_caller]
fn assert_figures(process: &Value, model: &Model, says: &str) {
    let found = differences(process, &model.expected());
    assert!(found.is_empty(), "\n  {}\n{says}", found.join("\n  "));
}

/// Lazily freed pages that reclaim has taken, of all processes: no sequence knows of these.
fn taken_by_reclaim() -> u64 {
    let text = std::fs::read_to_string("/proc/vmstat").expect("/proc/vmstat");
    let value = text.lines().find_map(|line| line.strip_prefix("pglazyfreed ")).expect("pglazyfreed");
    value.parse().expect("a number")
}

/// Runs it until the kernel took no page by itself meanwhile: then, and only then, is the model the truth.
#[track_caller]
fn undisturbed(seed: u64, run: impl Fn(u64, &dyn Fn() -> bool)) {
    for _ in 0..10 {
        let before = taken_by_reclaim();
        let is_disturbed = || taken_by_reclaim() != before;
        run(seed, &is_disturbed);
        if !is_disturbed() {
            return;
        }
        println!("seed {seed}: reclaim took lazily freed pages, again");
    }
    panic!("reclaim took lazily freed pages in each of ten runs: this machine is short of memory");
}

/// Compares nothing once it is disturbed.
fn one_thread(seed: u64, is_disturbed: &dyn Fn() -> bool) {
    let mut pages = pages(&[]);
    let mut sequence = Sequence::new(seed, FIRST, true);
    let process = ledger_of(&mut pages, &[], |pages| {
        let before = pages.rss();
        for _ in 0..CALLS {
            let (command, errno) = sequence.step();
            // The kernel itself first: what it does is what the model says.
            assert_eq!(pages.run(&command)["errno"], errno, "{}", sequence.says());
            let resident_pages = (pages.rss() - before) / PAGE;
            if is_disturbed() {
                return;
            }
            assert_eq!(resident_pages, sequence.model.resident_pages(), "{}", sequence.says());
        }
    });
    if !is_disturbed() {
        assert_figures(&process, &sequence.model, &sequence.says());
    }
}

/// Compares nothing once it is disturbed.
fn four_threads(seed: u64, is_disturbed: &dyn Fn() -> bool) {
    let mut pages = pages(&["--threads", "4"]);
    // Side by side: neighbours share a chunk.
    let mut all: Vec<Sequence> = (0..4).map(|n| Sequence::new(seed + n, FIRST + n * PAGES, false)).collect();
    let process = ledger_of(&mut pages, &[], |pages| {
        for _ in 0..CALLS / ROUND {
            round(pages, &mut all);
        }
    });
    let says = all.iter().map(Sequence::says).collect::<Vec<_>>().join("\n");
    let mut models = all.into_iter().map(|sequence| sequence.model);
    let mut sum = models.next().expect("four");
    models.for_each(|model| sum.absorb(&model));
    if !is_disturbed() {
        assert_figures(&process, &sum, &says);
    }
}

/// Each thread's next commands, all threads at once.
fn round(pages: &mut Pages, all: &mut [Sequence]) {
    let steps: Vec<Vec<(String, i32)>> =
        all.iter_mut().map(|sequence| (0..ROUND).map(|_| sequence.step()).collect()).collect();
    let list = |steps: &Vec<(String, i32)>| steps.iter().map(|step| step.0.as_str()).collect::<Vec<_>>().join("; ");
    let answer = pages.run(&format!("par {}", steps.iter().map(list).collect::<Vec<_>>().join(" | ")));
    for ((n, sequence), steps) in all.iter().enumerate().zip(&steps) {
        for (k, (command, errno)) in steps.iter().enumerate() {
            assert_eq!(answer[n][k]["errno"], *errno, "thread {n}, {command}: {}", sequence.says());
        }
    }
}

#[test]
fn any_sequence_of_one_thread_is_exact() {
    for seed in [1, 2, 3, new_seed()] {
        println!("seed {seed}");
        undisturbed(seed, one_thread);
    }
}

#[test]
fn any_sequences_of_four_threads_at_once_are_exact() {
    for seed in [10, 20, 30, new_seed()] {
        println!("seeds {seed} and the three after it");
        undisturbed(seed, four_threads);
    }
}
