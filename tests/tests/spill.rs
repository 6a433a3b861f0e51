//! What survives memtrace's own sudden end: histories, deaths that nobody saw, and counts.
use memtrace_tests::{Ended, MemoryCgroup, Memtrace, Pages, Tiny, Truth, monotonic_ns, truth_binary, wait_until};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const LIMIT_BYTES: u64 = 96 * MIB;
const SETTINGS: &str =
    "[black_box]\nfine_interval = \"100ms\"\nburst_interval = \"100ms\"\nspill_interval = \"100ms\"\n";

/// A directory of dossiers, and settings that save ten times a second.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("settings.toml"), SETTINGS).expect("written");
        Self(home)
    }

    fn dossiers(&self) -> PathBuf {
        self.0.path().join("oom")
    }

    #[track_caller]
    fn watching(&self, pid: u32) -> Memtrace {
        self.watching_in(&self.dossiers(), pid, &[])
    }

    #[track_caller]
    fn watching_in(&self, directory: &Path, pid: u32, more: &[&str]) -> Memtrace {
        let settings = self.0.path().join("settings.toml");
        let settings = settings.to_str().expect("UTF-8");
        Memtrace::watching(directory, &[&["--config", settings, "-p", &pid.to_string()], more].concat())
    }

    /// Its files, in the order that they were written in.
    fn spilled(&self) -> Vec<PathBuf> {
        let below =
            |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut files: Vec<_> = below(self.dossiers().join("spill")).flat_map(below).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "part"));
        files.sort();
        files
    }

    /// Saved more than once, and killed; returns when that was.
    #[track_caller]
    fn kill(&self, mut memtrace: Memtrace) -> u64 {
        wait_until("histories to be saved", || (self.spilled().len() > 2).then_some(()));
        let t_ns = monotonic_ns();
        memtrace.kill();
        t_ns
    }
}

#[track_caller]
fn dossiers(ended: &Ended) -> Vec<Value> {
    let mut lines = ended.lines_before_the_account();
    lines.retain(|line| line["kind"] == "dossier");
    lines
}

/// Somebody to watch while others are gone.
fn bystander() -> Truth {
    Truth::start(&truth_binary(), &[])
}

#[track_caller]
fn times(dossier: &Value) -> Vec<u64> {
    dossier["timeline"]["t_ns"].as_array().expect("times").iter().filter_map(Value::as_u64).collect()
}

#[test]
fn a_timeline_goes_back_before_the_crash_of_memtrace_and_shows_the_gap() {
    let home = Home::new();
    let group = MemoryCgroup::new("spill-resumed", LIMIT_BYTES);
    let mut truth = Truth::start(&truth_binary(), &[]);
    group.add(truth.pid());
    truth.all(&["alloc 24", "gc"]);
    let killed_ns = home.kill(home.watching(truth.pid()));
    let started_ns = monotonic_ns();
    let memtrace = home.watching(truth.pid());
    assert_eq!(truth.last("alloc 200").signal(), Some(libc::SIGKILL));
    let ended = memtrace.end();
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    assert_eq!((&dossier["trigger"], &dossier["cause"]), (&"oom".into(), &"cgroup_oom".into()));
    let times = times(dossier);
    assert!(times.is_sorted() && times[0] < killed_ns && times.last() > Some(&started_ns), "{times:?} {killed_ns}");
    assert!(!times.iter().any(|t_ns| (killed_ns..started_ns).contains(t_ns)));
    let gaps = dossier["timeline"]["gaps"].as_array().expect("gaps");
    let [gap] = gaps.as_slice() else { panic!("{gaps:?}") };
    assert!(gap["from_ns"].as_u64() <= Some(killed_ns) && gap["to_ns"].as_u64() >= Some(started_ns), "{gap}");
    assert!(times.contains(&gap["from_ns"].as_u64().expect("a time")), "{gap}");
    assert!(dossier["reconstructed"].is_null());
    // Its ledger goes on too: what is counted never falls.
    let faults = dossier["timeline"]["signals"]["faults"].as_array().expect("faults");
    assert!(faults.iter().filter_map(Value::as_u64).is_sorted(), "{faults:?}");
    let (directory, id) = (home.dossiers(), dossier["id"].as_str().expect("an id"));
    let shown = Memtrace::run(&["oom", "show", id, "--dir", directory.to_str().expect("UTF-8")]);
    assert!(shown.lines.iter().any(|line| line.ends_with(": memtrace was not running")), "{:?}", shown.lines);
    assert!(home.spilled().is_empty(), "its own end was a clean one");
}

#[test]
fn who_ends_while_memtrace_does_not_run_has_a_dossier_that_says_so() {
    let (home, bystander) = (Home::new(), bystander());
    let truth = Truth::start(&truth_binary(), &[]);
    let pid = truth.pid();
    let killed_ns = home.kill(home.watching(pid));
    truth.kill();
    let ended = home.watching(bystander.pid()).interrupt();
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    assert_eq!((&dossier["trigger"], &dossier["cause"]), (&"lost".into(), &"lost".into()), "{dossier:#}");
    assert_eq!((&dossier["victim"]["pid"], &dossier["victim"]["comm"]), (&pid.into(), &"truth".into()));
    assert!(dossier["victim"]["exit_signal"].is_null(), "nobody saw it");
    let of = &dossier["reconstructed"];
    let (saved_ns, found_ns) = (of["saved_at_ns"].as_u64().expect("saved"), of["found_at_ns"].as_u64().expect("found"));
    assert!(saved_ns <= killed_ns && found_ns > killed_ns && of["before_reboot"] == false, "{of} {killed_ns}");
    assert_eq!(dossier["sources"][0]["age_ns"], found_ns - saved_ns, "{}", dossier["sources"]);
    assert!(times(dossier).last() <= Some(&saved_ns) && times(dossier).len() > 2);
    let directory = home.dossiers();
    let directory = directory.to_str().expect("UTF-8");
    let listed = Memtrace::run(&["oom", "--dir", directory]);
    assert!(listed.lines.len() == 1 && listed.lines[0].contains("  lost "), "{:?}", listed.lines);
    let shown = Memtrace::run(&["oom", "show", dossier["id"].as_str().expect("an id"), "--dir", directory]);
    assert_eq!(shown.lines[0], format!("{pid}/truth  ended while memtrace was not running"));
    // Once: the next one has nothing to add.
    assert_eq!(dossiers(&home.watching(bystander.pid()).interrupt()).len(), 0);
}

#[test]
fn an_oom_kill_that_nobody_saw_is_told_by_the_kernels_log() {
    let (home, bystander) = (Home::new(), bystander());
    let group = MemoryCgroup::new("spill-lost", LIMIT_BYTES);
    let mut truth = Truth::start(&truth_binary(), &[]);
    let pid = truth.pid();
    group.add(pid);
    truth.all(&["alloc 24", "gc"]);
    home.kill(home.watching(pid));
    assert_eq!(truth.last("alloc 200").signal(), Some(libc::SIGKILL));
    let ended = home.watching(bystander.pid()).interrupt();
    let all = dossiers(&ended);
    let [dossier] = all.as_slice() else { panic!("{} dossiers: {}", all.len(), ended.stderr) };
    assert_eq!((&dossier["trigger"], &dossier["cause"]), (&"lost".into(), &"cgroup_oom".into()), "{dossier:#}");
    let log = dossier["kernel"]["log"].as_array().expect("lines");
    assert!(log.len() == 2 && log[1]["text"].as_str().is_some_and(|text| text.contains(&format!("process {pid}"))));
    let heap = &dossier["timeline"]["signals"]["heap_alloc_bytes"];
    assert!(heap.as_array().is_some_and(|values| values.iter().any(|value| value.as_u64() > Some(24 * MIB))), "{heap}");
}

#[test]
fn a_torn_or_foreign_file_is_left_out_with_one_line_and_the_rest_is_used() {
    let (home, bystander) = (Home::new(), bystander());
    let truth = Truth::start(&truth_binary(), &[]);
    home.kill(home.watching(truth.pid()));
    truth.kill();
    let files = home.spilled();
    let (torn, foreign) = (&files[files.len() - 1], &files[files.len() - 2]);
    let whole = fs::read(torn).expect("the file");
    fs::write(torn, &whole[..whole.len() - 1]).expect("written");
    fs::write(foreign, "#!/bin/sh\n").expect("written");
    let ended = home.watching(bystander.pid()).interrupt();
    assert_eq!(dossiers(&ended).len(), 1);
    for (path, why) in [(torn, "it is torn"), (foreign, "it is no spill of memtrace")] {
        let line = format!("memtrace: {} is left out: {why}", path.display());
        assert_eq!(ended.stderr.lines().filter(|said| *said == line).count(), 1, "{line} in {}", ended.stderr);
    }
}

#[test]
fn two_that_share_a_directory_leave_each_other_alone() {
    let home = Home::new();
    let [first, second] = [(); 2].map(|()| bystander());
    let one = home.watching(first.pid());
    let other = home.watching(second.pid());
    wait_until("both to save", || (home.spilled().len() > 4).then_some(()));
    assert_eq!(dossiers(&other.interrupt()).len(), 0);
    assert!(!home.spilled().is_empty(), "the first one runs");
    assert_eq!(dossiers(&one.interrupt()).len(), 0);
    let left: Vec<_> = fs::read_dir(home.dossiers()).expect("the directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn on_a_full_disk_saving_fails_with_one_line_and_dossiers_are_still_told() {
    let (home, tiny) = (Home::new(), Tiny::mount());
    fs::write(tiny.file(), [0; Tiny::BYTES]).expect("it fits exactly");
    let truth = bystander();
    let memtrace = home.watching_in(tiny.path(), truth.pid(), &[]);
    assert_eq!(truth.last("exit 3").code(), Some(3));
    let ended = memtrace.end();
    assert_eq!(dossiers(&ended).len(), 1);
    let said = |what: &str| ended.stderr.lines().filter(|line| line.contains(what)).count();
    assert_eq!(
        (said("No space left on device (os error 28): histories are not saved"), said("cannot save dossier")),
        (1, 1),
        "{}",
        ended.stderr
    );
}

#[test]
fn what_is_counted_outlives_memtrace_and_the_dossiers() {
    const DEATHS: usize = 10;
    const RUNS: usize = 2;
    let home = Home::new();
    let directory = home.dossiers();
    let of_dossiers = directory.to_str().expect("UTF-8");
    let group = MemoryCgroup::new("counts", LIMIT_BYTES);
    let counts = || Memtrace::json(&["oom", "counts", "--dir", of_dossiers]);
    assert_eq!(counts()["workloads"], serde_json::json!({}), "nothing yet");
    for run in 1..=RUNS {
        let dying: Vec<_> = (0..DEATHS).map(|_| Pages::start(env!("CARGO_BIN_EXE_pages"), &[])).collect();
        dying.iter().for_each(|pages| group.add(pages.pid()));
        let pids: Vec<String> = dying.iter().map(|pages| pages.pid().to_string()).collect();
        let memtrace = Memtrace::watching(
            &directory,
            &["-p", &pids.join(","), "--max-dir-bytes", "40k", "--trigger", "exit,kill"],
        );
        for pages in dying {
            pages.last("exit 3");
        }
        assert_eq!(dossiers(&memtrace.end()).len(), DEATHS);
        let counted = &counts()["workloads"]["/memtrace-test-*-counts"];
        let deaths = run * DEATHS;
        assert_eq!(
            (&counted["deaths"], &counted["oom_kills"], &counted["by"]),
            (&deaths.into(), &0.into(), &"cgroup".into())
        );
        assert_eq!((&counted["triggers"]["exit"], &counted["patterns"]["unknown"]), (&deaths.into(), &deaths.into()));
    }
    let left = Memtrace::run(&["oom", "--dir", of_dossiers]);
    assert!((1..RUNS * DEATHS).contains(&left.lines.len()), "rotated: {:?}", left.lines);
    let text = Memtrace::run(&["oom", "counts", "--dir", of_dossiers]);
    assert!(text.lines.last().is_some_and(|row| row.contains("      20  ") && row.ends_with("unknown 20")), "{text:?}");
}

#[test]
fn settings_are_printed_checked_and_refused_with_their_line() {
    let home = Home::new();
    let file = home.0.path().join("settings.toml");
    let name = file.to_str().expect("UTF-8");
    let printed = Memtrace::run(&["watch-oom", "--print-config", "--config", name, "--max-dir-bytes", "1g"]);
    for line in ["spill_interval = \"100ms\"", "max_bytes = \"1GiB\"", "coarse_span = \"2h\""] {
        assert!(printed.lines.iter().any(|said| said == line), "{line} in {:?}", printed.lines);
    }
    assert_eq!(Memtrace::run(&["watch-oom", "--check-config", "--config", name]).code(), Some(0));
    fs::write(&file, "[black_box]\nspill_intervall = \"1s\"\n").expect("written");
    for arguments in [&["--check-config"][..], &["-p", "1"]] {
        let refused = Memtrace::run(&[&["watch-oom", "--config", name], arguments].concat());
        assert_eq!((refused.code(), refused.stderr.lines().count()), (Some(2), 1), "{}", refused.stderr);
        let said = format!("memtrace: {name}: line 2: unknown field `spill_intervall`");
        assert!(refused.stderr.starts_with(&said), "{}", refused.stderr);
    }
}
