//! The target ends while it is looked at, at every moment of the look.
use crate::{NO_TARGET, profiled};
use memtrace_tests::{Measured, Processes as _, assert_account};
use serde_json::Value;

/// Kills the target `tries` times, later each time, the last time when an undisturbed run would be over. Returns how many
/// runs had an answer; the others must have said that there is no such target.
#[track_caller]
fn answers_of(verb: &[&str], tries: u32, assert_whole: impl Fn(&Value)) -> u32 {
    let look = |pid: u32| Measured::run(&[verb, &["-o", "json", "-p", &pid.to_string()]].concat());
    let (undisturbed, mut answers) = (look(profiled().pid()), 0);
    assert_whole(&undisturbed.json());
    for n in 0..tries {
        let mut program = profiled();
        let pid = program.pid();
        let measured = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(undisturbed.wall * n / tries);
                program.signal(libc::SIGKILL);
            });
            look(pid)
        });
        match measured.code {
            Some(0) => {
                assert_whole(&measured.json());
                answers += 1;
            }
            code => {
                let said = (code, measured.stdout.as_str(), measured.stderr.lines().count());
                assert_eq!(said, (Some(NO_TARGET), "", 1), "{verb:?}, try {n}: {}", measured.stderr);
            }
        }
    }
    println!("{verb:?}: {answers} of {tries} answered, {:?} undisturbed", undisturbed.wall);
    answers
}

#[test]
fn an_explanation_is_whole_or_the_target_is_gone() {
    let answers = answers_of(&["explain"], 150, |explained| {
        let buckets = explained["buckets"].as_array().expect("buckets");
        let sum: u64 = buckets.iter().filter_map(|bucket| bucket["bytes"].as_u64()).sum();
        let number = |field: &str| explained[field].as_u64().unwrap_or_else(|| panic!("no {field} in {explained:#}"));
        assert_eq!(sum + number("unknown_bytes"), number("rss_bytes"), "{explained:#}");
        assert!(number("rss_bytes") > 4 << 20, "{explained:#}");
    });
    assert!((1..150).contains(&answers), "{answers}");
}

#[test]
fn profiles_are_whole_or_the_target_is_gone() {
    for (verb, rows) in [("goroutines", "groups"), ("heap", "stacks")] {
        let answers = answers_of(&[verb], 100, |profile| {
            assert!(profile[rows].as_array().is_some_and(|rows| !rows.is_empty()), "{profile:#}");
        });
        assert!((1..100).contains(&answers), "{verb}: {answers}");
    }
}

#[test]
fn a_ledger_ends_with_its_target_or_the_target_is_gone() {
    let answers = answers_of(&["stat", "-d", "100ms"], 12, |summary| {
        assert_account(summary);
        let process = summary.processes().first().unwrap_or_else(|| panic!("no process: {summary:#}"));
        assert!(process["exit"].is_null() || process["exit"]["signal"] == 9, "{process:#}");
    });
    assert!((1..12).contains(&answers), "{answers}");
}
