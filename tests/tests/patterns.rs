//! The verdict of each pattern that can be played on this host.
use memtrace_tests::patterns::{Judged, NATIVE, PLAYED, die_at_different_paces, native_binary, patterns_binary, play};

#[test]
fn what_was_played_is_what_is_told() {
    const LIMIT_MIB: u64 = 128;
    const SECONDS: u64 = 8;
    let all = play(&patterns_binary(), PLAYED, LIMIT_MIB, 7, SECONDS);
    let wrong: Vec<String> =
        all.iter().filter(|of| !of.is_right()).map(|of| format!("{}: {}", of.truth, of.dossier["verdict"])).collect();
    assert!(!all.iter().any(Judged::is_confidently_wrong), "{wrong:#?}");
    // One in twelve may be told wrong, without confidence.
    assert!(wrong.len() <= 1, "{wrong:#?}");
    // Who keeps what is named, where the program has a profile.
    let leak = all.iter().find(|of| of.truth == "heap_leak").expect("it was played");
    assert!(leak.dossier["top"]["heap"][0]["name"].as_str().is_some_and(|name| name.starts_with("main.")), "{leak:?}");
    // Each rests on numbers.
    assert!(all.iter().all(|of| of.dossier["verdict"]["evidence"].as_array().is_some_and(|of| !of.is_empty())));
}

#[test]
fn nearly_every_death_has_the_counters_of_its_end_and_a_heap_profile_of_its_last_seconds() {
    const DEATHS: usize = 20;
    let fresh = die_at_different_paces(&patterns_binary(), DEATHS as u64, 64);
    println!("{}", fresh.in_words());
    assert_eq!(fresh.dossiers, DEATHS, "{fresh:?}");
    assert!(fresh.counters * 100 >= DEATHS * 95 && fresh.profiles * 100 >= DEATHS * 90, "{fresh:?}");
}

#[test]
fn what_a_program_without_go_played_is_told_too() {
    let all = play(&native_binary(), NATIVE, 96, 3, 6);
    let wrong: Vec<String> =
        all.iter().filter(|of| !of.is_right()).map(|of| format!("{}: {}", of.truth, of.dossier["verdict"])).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(all.iter().all(|of| of.dossier["victim"]["go_version"].is_null()), "{all:#?}");
}
