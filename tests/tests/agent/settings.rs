//! What the configuration says, and says anew while the agent runs.
use memtrace_tests::{Serving, Truth, open_files_limits, quiet_truth, wait_until};
use std::fs;
use std::path::Path;

fn write(config: &Path, text: &str) {
    fs::write(config, text).expect("written");
}

/// The pids that are watched, of these.
#[track_caller]
fn watched(agent: &Serving, of: &[u32]) -> Vec<u32> {
    let all = agent.json("/api/v1/processes");
    let pids: Vec<u64> =
        all["processes"].as_array().expect("processes").iter().flat_map(|of| of["pid"].as_u64()).collect();
    of.iter().copied().filter(|pid| pids.contains(&u64::from(*pid))).collect()
}

#[track_caller]
fn until_watched(agent: &Serving, of: &[u32], wanted: &[u32]) {
    wait_until(&format!("{wanted:?} of {of:?}"), || (watched(agent, of) == wanted).then_some(()));
}

/// The one series that begins so, now.
#[track_caller]
fn value(agent: &Serving, series: &str) -> u64 {
    crate::series(&agent.ok("/metrics"), series).unwrap_or_else(|| panic!("no {series}")) as u64
}

/// A program of the same kind by another path.
fn other(directory: &Path) -> Truth {
    let copy = directory.join("another");
    fs::copy(memtrace_tests::truth_binary(), &copy).expect("a copy");
    Truth::start(&copy, &[])
}

#[test]
fn a_file_that_changes_counts_at_once_and_nothing_is_lost() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut truth, another) = (quiet_truth(), other(directory.path()));
    let both = [truth.pid(), another.pid()];
    let config = directory.path().join("memtrace.toml");
    let place = directory.path().display();
    let only_truth = format!("[targets]\nallow = [\"exe=*/truth\", \"exe={place}/*\"]\ndeny = [\"exe=*/another\"]\n");
    write(&config, &only_truth);
    let arguments = ["--no-save", "--config", config.to_str().expect("UTF-8")];
    let mut agent = Serving::start(&arguments);
    agent.until_ready();
    until_watched(&agent, &both, &both[..1]);
    truth.all(&["alloc 24", "free", "freeosmemory"]);
    let returned = format!("memtrace_returned_bytes_total{{exe=\"truth\",comm=\"truth\",pid=\"{}\"", both[0]);
    let before = wait_until("what it returned", || Some(value(&agent, &returned)).filter(|bytes| *bytes >= 24 << 20));

    // SIGHUP: what is allowed now is met, and what was known stays known.
    write(&config, "[targets]\nallow = [\"exe=*/truth\", \"comm=another\"]\n");
    agent.memtrace.signal(libc::SIGHUP);
    until_watched(&agent, &both, &both);
    assert!(value(&agent, &returned) >= before);
    wait_until("the count", || (value(&agent, "memtrace_config_reloads_total{result=\"success\"}") >= 1).then_some(()));

    // A file that is wrong is found, said and left alone.
    write(&config, "[targets]\nallow = []\nwrong = 1\n");
    let failed = || value(&agent, "memtrace_config_reloads_total{result=\"failure\"}") == 1;
    wait_until("the failure", || failed().then_some(()));
    assert_eq!(value(&agent, "memtrace_config_last_reload_successful"), 0);
    assert_eq!(watched(&agent, &both), both);

    // Without a signal; whom a rule is against is let go.
    write(&config, "[targets]\ndeny = [\"exe=*/truth\"]\n[http]\nmax_connections = 7\n");
    until_watched(&agent, &both, &both[1..]);
    assert_eq!(value(&agent, "memtrace_config_last_reload_successful"), 1);
    let ended = agent.memtrace.interrupt();
    let file = config.display().to_string();
    for said in [
        format!("{file}: line 3: unknown field `wrong`"),
        format!("{file}: read again: targets.allow"),
        "only at the next start counts http.max_connections".to_owned(),
    ] {
        assert!(ended.stderr.contains(&said), "{said:?} is not in {}", ended.stderr);
    }
}

#[test]
fn a_budget_is_kept_by_looking_less_often() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    // Each round of twenty programs is more than it may have.
    let paces = [("fine", "20ms"), ("burst", "20ms"), ("coarse", "1s")];
    let paces = paces.map(|(name, pace)| format!("{name}_interval = {pace:?}\n")).concat();
    write(&config, &format!("[limits]\ncpu_percent = 1\n[black_box]\n{paces}"));
    let programs: Vec<Truth> = (0..20).map(|_| quiet_truth()).collect();
    let pids: Vec<String> = programs.iter().map(|program| program.pid().to_string()).collect();
    let agent = Serving::start(&["--no-save", "--config", config.to_str().expect("UTF-8"), "-p", &pids.join(",")]);
    agent.until_ready();
    // Points that are left out are counted, twenty at once, when the next round has come.
    let thinned = wait_until("a round that is left out", || {
        Some(value(&agent, "memtrace_samples_thinned_total ")).filter(|n| *n > 0)
    });
    assert_eq!(thinned % 20, 0, "{thinned}");
    let ended = agent.memtrace.interrupt();
    assert!(ended.stderr.contains("more than 1 % of a CPU"), "{}", ended.stderr);
}

#[test]
fn what_it_may_hold_is_kept_by_shorter_histories() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    // Its own text and tables alone take more.
    write(&config, "[limits]\nmax_rss_bytes = \"16MiB\"\n");
    let truth = quiet_truth();
    let pid = truth.pid().to_string();
    let agent = Serving::start(&["--no-save", "--config", config.to_str().expect("UTF-8"), "-p", &pid]);
    agent.until_ready();
    // From 256 KiB to 8 KiB.
    wait_until("the shortest histories", || (value(&agent, "memtrace_timelines_shortened_total ") == 5).then_some(()));
    assert_eq!(value(&agent, "memtrace_timeline_max_bytes "), 8 << 10);
    assert_eq!(value(&agent, "memtrace_self_max_resident_memory_bytes "), 16 << 20);
    write(&config, "[limits]\nmax_rss_bytes = \"1GiB\"\n");
    wait_until("the new limit", || {
        (value(&agent, "memtrace_self_max_resident_memory_bytes ") == 1 << 30).then_some(())
    });
    assert_eq!(value(&agent, "memtrace_timeline_max_bytes "), 8 << 10, "there must be room for ten minutes first");
    let ended = agent.memtrace.interrupt();
    for said in ["histories are cut to 128 KiB of each process", "it holds no more that it could do without"] {
        assert_eq!(ended.stderr.matches(said).count(), 1, "{said:?} in {}", ended.stderr);
    }
}

#[test]
fn open_files_are_bounded_as_the_file_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    write(&config, "[limits]\nmax_open_files = 512\n");
    let truth = quiet_truth();
    let pid = truth.pid().to_string();
    let agent = Serving::start(&["--no-save", "--config", config.to_str().expect("UTF-8"), "-p", &pid]);
    let limit = || open_files_limits(agent.memtrace.pid())[0];
    assert_eq!(limit(), 512);
    write(&config, "[limits]\nmax_open_files = 1024\n");
    wait_until("the new limit", || (limit() == 1024).then_some(()));
    agent.memtrace.interrupt();
}
