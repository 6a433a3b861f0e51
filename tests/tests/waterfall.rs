//! Where the RSS of Go programs is, by every release in every build mode, against what the kernel and the program know.
use memtrace_tests::matrix::{self, RELEASES, built};
use memtrace_tests::{Child, Explained, Pages, Truth, rss_bytes, truth_binary, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

const MIB: u64 = 1 << 20;
const STEPS: &[&str] = &["mix", "go", "malloc 20", "garbage 8", "freeos", "spans 20000"];
/// In any Go program that has done something.
const ALWAYS: &[&str] = &[
    "live_heap",
    "garbage_and_floating",
    "free_slots",
    "size_class_rounding",
    "idle_resident",
    "goroutine_stacks_in_use",
    "goroutine_stacks_free",
    "metadata_persistent",
    "metadata_span_table",
    "metadata_gc_bits",
    "metadata_page_allocator",
    "metadata_arenas",
    "thread_stacks",
    "page_rounding",
    "kernel_mappings",
];
/// Where Go is the executable, not a library.
const EXECUTABLE: &[&str] = &["binary_text", "binary_rodata", "binary_data_dirty", "binary_bss"];
const CGO: &[&str] = &["cgo_malloc_heaps", "other_file_mappings", "other_file_copies"];

/// What is wrong after each step.
fn check(program: &mut Child, steps: &[&str], buckets: &[&[&str]]) -> Vec<String> {
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for step in steps {
        matrix::run(program, step);
        let (explained, rss) = Explained::at_rest(program.pid());
        let (found, unknown) = (explained.rss_bytes(), explained.number("unknown_bytes"));
        if found != rss {
            wrong.push(format!("{step}: {found} bytes are explained, {rss} resident"));
        }
        if unknown * 50 > rss || explained.0["warnings"] != Value::Array(Vec::new()) {
            wrong.push(format!("{step}: {unknown} of {rss} bytes unknown, {}", explained.0["warnings"]));
        }
        seen.extend(explained.buckets().map(|(name, _)| name.to_owned()));
        if *step == "malloc 20" && explained.bucket("cgo_malloc_heaps") < 20 * MIB {
            wrong.push(format!("{step}: {} bytes of malloc", explained.bucket("cgo_malloc_heaps")));
        }
    }
    let missing = buckets.iter().copied().flatten().filter(|bucket| !seen.contains(**bucket));
    wrong.extend(missing.map(|bucket| format!("never any {bucket}")));
    wrong
}

fn check_all(steps: &[&str], buckets: &[&[&str]], command: impl Fn(&str) -> Command) {
    let mut wrong = Vec::new();
    for release in RELEASES {
        let mut program = matrix::start(&mut command(release));
        wrong.extend(check(&mut program, steps, buckets).into_iter().map(|of| format!("{release}: {of}")));
        program.close_stdin();
        program.end();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check_go(variant: &str) {
    let steps: Vec<&str> = STEPS.iter().copied().filter(|step| !step.starts_with("malloc")).collect();
    check_all(&steps, &[ALWAYS, EXECUTABLE], |release| Command::new(built(release, variant)));
}

fn check_cgo(variant: &str) {
    check_all(STEPS, &[ALWAYS, EXECUTABLE, CGO], |release| Command::new(built(release, variant)));
}

#[test]
fn every_byte_of_a_plain_program() {
    check_go("plain");
}

#[test]
fn every_byte_of_a_stripped_program() {
    check_go("stripped");
}

#[test]
fn every_byte_of_a_stripped_position_independent_program() {
    check_go("pie");
}

#[test]
fn every_byte_of_a_program_without_optimisation() {
    check_go("noopt");
}

#[test]
fn every_byte_of_a_stripped_cgo_program() {
    check_cgo("cgo");
}

#[test]
fn every_byte_of_a_race_detecting_program() {
    check_cgo("race");
}

#[test]
fn every_byte_of_a_library_in_a_c_program() {
    check_all(STEPS, &[ALWAYS, CGO], |release| {
        let mut command = Command::new(matrix::host());
        command.arg(built(release, "shared"));
        command
    });
}

#[test]
fn live_garbage_and_idle_memory_are_told_apart() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
    let pid = truth.pid();
    let assert_near = |step: &str, bucket: &str, expected: u64| {
        let (explained, _) = Explained::at_rest(pid);
        let bytes = explained.bucket(bucket);
        assert!(bytes.abs_diff(expected) < 2 * MIB, "{step}: {bytes} bytes of {bucket} in {:#}", explained.0);
    };
    truth.run("alloc 64");
    assert_near("before the first collection", "garbage_and_floating", 64 * MIB);
    truth.run("gc");
    assert_near("collected, all kept", "live_heap", 64 * MIB);
    truth.run("free");
    // Nobody knows yet that it is garbage.
    assert_near("dropped", "live_heap", 64 * MIB);
    truth.run("gc");
    assert_near("collected, none kept", "live_heap", 0);
    assert_near("collected, none kept", "idle_resident", 64 * MIB);
    let held = rss_bytes(pid);
    truth.run("freeosmemory");
    assert_near("given back", "idle_resident", 0);
    assert!(rss_bytes(pid) + 60 * MIB < held, "{held} bytes before, {} after", rss_bytes(pid));
}

#[test]
fn sparse_spans_hold_free_slots_and_goroutines_hold_stacks() {
    let mut program = matrix::start(&mut Command::new(built("1.26.6", "plain")));
    for step in ["gogc 10000", "grow 40", "free 9", "gc"] {
        matrix::run(&mut program, step);
    }
    let (sparse, _) = Explained::at_rest(program.pid());
    let memstats = |field: &str| sparse.0["memstats"][field].as_u64().expect("a number");
    let (held, objects) = (memstats("heap_inuse") - memstats("heap_alloc"), sparse.bucket("live_heap"));
    let free = sparse.bucket("free_slots") + sparse.bucket("size_class_rounding");
    assert!(
        free > 2 * MIB && (held / 2..=held).contains(&free) && objects <= memstats("heap_alloc"),
        "{held} held, {:#}",
        sparse.0
    );

    // Eleven of them run deep: 200 frames of at least 256 bytes each.
    matrix::run(&mut program, "go");
    let (waiting, _) = Explained::at_rest(program.pid());
    let stacks = |explained: &Explained| explained.bucket("goroutine_stacks_in_use");
    assert!(stacks(&waiting) >= stacks(&sparse) + 11 * 200 * 256, "{:#}", waiting.0);
}

#[test]
fn a_busy_heap_has_unswept_spans_and_work_buffers() {
    let mut program = matrix::start(&mut Command::new(built("1.26.6", "stripped")));
    matrix::run(&mut program, "load 2");
    for bucket in ["unswept", "metadata_gc_work"] {
        wait_until(bucket, || {
            let explained = Explained::of(program.pid());
            let is_said = !explained.0["warnings"].as_array().expect("warnings").is_empty();
            assert!(explained.number("unknown_bytes") * 50 <= explained.rss_bytes() || is_said, "{:#}", explained.0);
            (explained.bucket(bucket) > 0).then_some(())
        });
    }
}

#[test]
fn what_madv_free_gave_back_is_released_and_still_resident() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off"), ("GODEBUG", "madvdontneed=0")]);
    truth.all(&["alloc 64", "free", "freeosmemory"]);
    let (explained, rss) = Explained::at_rest(truth.pid());
    assert!(explained.bucket("released_lazy_free") >= 60 * MIB && rss >= 64 * MIB, "{:#}", explained.0);
    assert!(explained.bucket("idle_resident") < MIB, "{:#}", explained.0);
}

#[test]
fn shared_and_private_mappings_are_counted_to_the_page() {
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let (before, _) = Explained::at_rest(pages.pid());
    pages.all(&["mmap 0 100p shared", "write 0 90p", "mmap 1000p 200p", "write 1000p 170p"]);
    let (after, _) = Explained::at_rest(pages.pid());
    let grown = |bucket: &str| (after.bucket(bucket) - before.bucket(bucket)) / memtrace_tests::PAGE;
    assert_eq!((grown("shared_memory"), grown("other_anonymous")), (90, 170), "{:#}", after.0);
}
