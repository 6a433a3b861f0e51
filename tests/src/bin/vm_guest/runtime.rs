//! Go programs: every number of the runtime, and every resident byte.
use crate::{Test, test};
use memtrace_tests::matrix::{RELEASES, built, differences_at_each_step, run, start};
use memtrace_tests::{Explained, Truth, truth_binary};
use std::process::Command;

const VARIANT: &str = "stripped";

pub(crate) fn tests() -> Vec<Test> {
    let numbers = RELEASES.iter().map(|release| {
        test(format!("every_number_of_a_program_by_go_{}", release.replace('.', "_")), || numbers(release))
    });
    let bytes = RELEASES
        .iter()
        .map(|release| test(format!("every_byte_of_a_program_by_go_{}", release.replace('.', "_")), || bytes(release)));
    numbers.chain(bytes).chain([test("what_is_explained_is_what_the_page_tables_hold", truth)]).collect()
}

fn numbers(release: &str) {
    let wrong = differences_at_each_step(&mut Command::new(built(release, VARIANT)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn bytes(release: &str) {
    let mut program = start(&mut Command::new(built(release, VARIANT)));
    for step in ["mix", "go", "freeos"] {
        run(&mut program, step);
        assert_explained(program.pid(), step);
    }
    program.close_stdin();
    program.end();
}

fn truth() {
    let mut truth = Truth::start(&truth_binary(), &[("GOGC", "off")]);
    for step in ["alloc 64", "gc", "free", "freeosmemory"] {
        truth.run(step);
        assert_explained(truth.pid(), step);
    }
}

fn assert_explained(pid: u32, step: &str) {
    let (explained, rss) = Explained::at_rest(pid);
    let found = explained.rss_bytes();
    assert!(found == rss, "{step}: {found} bytes are explained, {rss} resident: {:#}", explained.0["buckets"]);
    explained.assert_mostly_known(step);
}
