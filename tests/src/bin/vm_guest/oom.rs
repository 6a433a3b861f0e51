//! The end by the OOM killer in a memory cgroup, of either version.
use crate::boot;
use crate::ledger::PAGES;
use crate::{Test, note, test};
use memtrace::event::Stopped;
use memtrace_common::records::walk::{WALK_BUCKETS, WALK_GOROUTINES};
use memtrace_tests::matrix::{RELEASES, built, run, start};
use memtrace_tests::patterns::{Judged, die_at_different_paces, patterns_binary, play};
use memtrace_tests::{
    Pages, column, differences_of_last_words, ended_by_their_runtimes, go_victim_is_told, group_kill_is_told,
    killed_at_limit, many, oom_killed_because_of, oom_killed_by_itself, pressure_is_told, walked_as_read,
};
use std::process::Command;

/// The one test of a boot of its own, where the kernel has such cgroups.
pub(crate) const VERSION_1: &str = "an_oom_kill_in_a_cgroup_of_version_1_is_told_where_the_kernel_has_them";

/// There is no disk, and a machine as slow as this one has no time for all.
const PLAYED_HERE: [&str; 6] =
    ["heap_leak", "goroutine_leak", "allocation_burst", "off_heap", "kernel_memory", "neighbour"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("an_oom_kill_in_a_cgroup_of_version_2_is_told_with_its_stalls", || {
            killed_at_limit(Pages::start(PAGES, &[]));
        }),
        test("what_a_cgroup_of_version_2_tells_is_told_with_the_go_counters_of_that_instant", || {
            pressure_is_told(Pages::start(PAGES, &[]));
        }),
        test("a_go_victim_in_a_cgroup_of_version_2_has_a_dossier", || {
            let dossier = go_victim_is_told(tempdir().path());
            // What only version 2 tells.
            assert!(column(&dossier, "pressure_some_ns").last().is_some(), "{dossier:#}");
        }),
        test("nearly_every_death_has_the_counters_of_its_end_and_a_heap_profile_of_its_last_seconds", || {
            let fresh = die_at_different_paces(&patterns_binary(), 10, 32);
            note(&fresh.in_words());
            assert!(fresh.dossiers == 10 && fresh.counters == 10 && fresh.profiles >= 9, "{fresh:?}");
        }),
        test("what_was_played_in_a_cgroup_of_version_2_is_told", || {
            let all: Vec<_> =
                PLAYED_HERE.chunks(3).flat_map(|some| play(&patterns_binary(), some, 48, 7, 12)).collect();
            let wrong: Vec<_> = all.iter().filter(|of| !of.is_right()).map(Judged::in_short).collect();
            assert!(!all.iter().any(Judged::is_confidently_wrong) && wrong.len() <= 1, "{wrong:?}");
        }),
        test("every_victim_of_a_group_kill_has_a_dossier", || group_kill_is_told(tempdir().path())),
        test("an_oom_kill_of_a_go_program_leaves_its_last_words", || {
            oom_killed_because_of(Pages::start(PAGES, &[]));
            oom_killed_by_itself();
        }),
        test("every_number_of_the_last_words_by_every_go", || {
            for release in RELEASES {
                let differ = differences_of_last_words(&mut Command::new(built(release, "stripped")));
                assert!(differ.is_empty(), "{release}: {}", differ.join("\n"));
            }
        }),
        test("a_go_runtime_that_ends_its_process_is_heard_by_every_go", || {
            let programs: Vec<_> = RELEASES.iter().map(|release| (*release, "stripped")).collect();
            ended_by_their_runtimes(&programs);
        }),
        test("every_group_of_goroutines_of_the_last_walk_by_every_go", || {
            for release in RELEASES {
                let mut program = start(&mut Command::new(built(release, "stripped")));
                run(&mut program, "go");
                let end = walked_as_read(program);
                assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::End, Stopped::End), "{end:?}");
                assert!(end.goroutines.walked >= 160, "{release}: {end:?}");
            }
        }),
        test("every_site_of_the_last_walk", || {
            let end = walked_as_read(many(2000, 100));
            assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::End, Stopped::End), "{end:?}");
            assert!(end.buckets.walked >= 2000, "{end:?}");
        }),
        test("a_walk_ends_after_as_many_buckets_and_goroutines_as_were_meant", || {
            let end = walked_as_read(many(WALK_BUCKETS + 100, WALK_GOROUTINES + 2000));
            assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::Count, Stopped::Count), "{end:?}");
        }),
        test(VERSION_1, version_1),
    ]
}

fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// What a kernel without them says when asked for them; with them it would be that version 2 has memory.
fn version_1() {
    if boot::by_version_1() {
        killed_at_limit(Pages::start(PAGES, &[]));
    } else {
        let refused = boot::account_by_version_1().expect_err("memory is accounted by version 2");
        assert_ne!(refused, libc::EBUSY, "this kernel can account memory by version 1");
    }
}
