//! The end by the OOM killer in a memory cgroup of version 2.
use crate::ledger::PAGES;
use crate::{Test, test};
use memtrace_tests::{Pages, killed_at_limit};

pub(crate) fn tests() -> Vec<Test> {
    vec![test("an_oom_kill_in_a_cgroup_of_version_2_is_told_with_its_stalls", || {
        killed_at_limit(Pages::start(PAGES, &[]));
    })]
}
