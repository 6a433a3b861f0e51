//! What is left in the kernel when every memtrace has ended.
use crate::{Test, test};
use memtrace_tests::{bpf_objects, wait_until};
use std::sync::OnceLock;

/// The kernel's own.
static BEFORE: OnceLock<[Vec<u32>; 3]> = OnceLock::new();

pub(crate) fn remember() {
    BEFORE.get_or_init(bpf_objects);
}

pub(crate) fn tests() -> Vec<Test> {
    vec![test("no_program_map_or_link_is_left_in_the_kernel", none_left)]
}

/// The kernel frees them a little later.
fn none_left() {
    let before = BEFORE.get().expect("a list");
    wait_until("the end of all programs, maps and links", || (bpf_objects() == *before).then_some(()));
}
