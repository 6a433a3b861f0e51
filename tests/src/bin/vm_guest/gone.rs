//! What is left in the kernel when every memtrace has ended.
use crate::{Test, test};
use memtrace_tests::{bpf_programs, wait_until};
use std::sync::OnceLock;

/// The kernel's own programs.
static BEFORE: OnceLock<Vec<u32>> = OnceLock::new();

pub(crate) fn remember() {
    BEFORE.get_or_init(bpf_programs);
}

pub(crate) fn tests() -> Vec<Test> {
    vec![test("no_program_is_left_in_the_kernel", none_left)]
}

/// The kernel frees them a little later.
fn none_left() {
    let before = BEFORE.get().expect("a list");
    wait_until("the end of all programs", || (bpf_programs() == *before).then_some(()));
}
