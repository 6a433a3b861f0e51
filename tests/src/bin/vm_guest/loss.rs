//! What is lost is counted, to the last call.
use crate::ledger::PAGES;
use crate::{Test, test};
use memtrace_tests::{Pages, flood_accounted_for};

pub(crate) fn tests() -> Vec<Test> {
    vec![test("a_flood_through_a_ring_of_one_page_is_accounted_for_to_the_last_call", || {
        flood_accounted_for(Pages::start(PAGES, &["--threads", "2"]));
    })]
}
