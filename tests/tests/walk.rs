//! The heap profile and the goroutines of Go programs as they are killed, out of what the kernel walked of their memory.
//! `cargo xtask matrix` and `cargo xtask setup` build them.
use memtrace::event::Stopped;
use memtrace_common::records::walk::{WALK_BUCKETS, WALK_GOROUTINES};
use memtrace_tests::matrix::{RELEASES, built, run, start};
use memtrace_tests::{Memtrace, many, profiled, walked_as_read};
use std::process::Command;

#[test]
fn every_site_and_every_group_of_a_program_by_every_go_as_it_was_killed() {
    for release in RELEASES {
        let end = walked_as_read(profiled(release));
        assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::End, Stopped::End), "{release}: {end:?}");
        assert!(end.buckets.walked >= 8 && end.goroutines.walked >= 160, "{release}: {end:?}");
    }
}

#[test]
fn what_is_beyond_the_bounds_is_left_out_and_said() {
    let end = walked_as_read(many(WALK_BUCKETS + 100, WALK_GOROUTINES + 2000));
    assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::Count, Stopped::Count), "{end:?}");
    let end = walked_as_read(many(2000, WALK_GOROUTINES - 100));
    assert_eq!((end.buckets.stopped, end.goroutines.stopped), (Stopped::End, Stopped::End), "{end:?}");
    assert!(end.buckets.walked >= 2000 && end.goroutines.walked >= WALK_GOROUTINES - 100, "{end:?}");
}

#[test]
fn a_dossier_has_the_goroutines_that_came_after_the_last_close_look() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut program = start(&mut Command::new(built("1.26.6", "stripped")));
    let memtrace = Memtrace::watching(directory.path(), &["-p", &program.pid().to_string()]);
    // Without need there is no second look for minutes.
    run(&mut program, "park 50");
    program.signal(libc::SIGKILL);
    program.end();
    let mut lines = memtrace.end().lines_before_the_account();
    lines.retain(|line| line["kind"] == "dossier");
    let [dossier] = lines.as_slice() else { panic!("{} dossiers", lines.len()) };
    let rows = dossier["top"]["goroutines"].as_array().expect("rows");
    let parked = rows.iter().find(|row| row["name"].as_str().is_some_and(|name| name.starts_with("main.park.func1")));
    let parked = parked.unwrap_or_else(|| panic!("{dossier:#}"));
    assert_eq!((&parked["before_count"], &parked["after_count"]), (&0.into(), &50.into()), "{dossier:#}");
}
