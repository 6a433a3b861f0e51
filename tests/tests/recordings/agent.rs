//! The agent's rolling store: killed, limited, full.
use super::{replay, replayed};
use memtrace_tests::{Memtrace, Serving, engines, monotonic_ns, quiet_truth, wait_until};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[track_caller]
pub(crate) fn recording(home: &Path, settings: &str, pid: u32) -> Serving {
    let config = home.join("agent.toml");
    fs::write(&config, format!("[recording]\nenabled = true\nnode = \"n1\"\n{settings}\n")).expect("a file");
    Serving::start(&["--no-save", "--config", config.to_str().expect("UTF-8"), "-p", &pid.to_string()])
}

/// Of the one series of this name; `None`: the agent is busy.
pub(crate) fn metric(agent: &Serving, name: &str) -> Option<u64> {
    let text = agent.get("/metrics").1;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[track_caller]
pub(crate) fn until(agent: &Serving, name: &str, is_enough: impl Fn(u64) -> bool) -> u64 {
    wait_until(name, || metric(agent, name).filter(|value| is_enough(*value)))
}

const ROWS: &str = "memtrace_recording_rows_total";
const DROPPED: &str = "memtrace_recording_dropped_rows_total";

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            _ => found.push(entry.path()),
        }
    }
    found.sort();
    found
}

pub(crate) fn recordings(directory: &Path) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| path.extension().is_some_and(|is| is == "parquet")).collect()
}

#[test]
fn a_killed_agent_leaves_what_can_be_read_and_loses_one_interval_at_most() {
    const FLUSH_NS: u64 = 500_000_000;
    /// Between two samples, and for a machine that is busy with other things.
    const SLACK_NS: u64 = 3_000_000_000;
    let home = tempfile::tempdir().expect("a directory");
    let truth = quiet_truth();
    let store = home.path().join("store");
    let settings = format!("directory = {store:?}\nflush_interval = \"500ms\"");
    let mut agent = recording(home.path(), &settings, truth.pid());
    wait_until("some files", || (recordings(&store).len() >= 4).then_some(()));
    let config = home.path().join("agent.toml");
    let arguments = ["agent", "--no-save", "--listen", "127.0.0.1:0", "--config", config.to_str().expect("UTF-8")];
    let second = Memtrace::run(&arguments);
    assert_eq!(second.code(), Some(3), "{}", second.stderr);
    assert!(second.stderr.contains("another memtrace records there for the node n1"), "{}", second.stderr);
    agent.memtrace.kill();
    let killed_ns = monotonic_ns();

    let left = recordings(&store);
    left.iter().for_each(|file| assert_eq!(replay(file, &[]).code(), Some(0), "{}", file.display()));
    let [of_truth] = replayed(&store, &[]).try_into().expect("one process");
    assert_eq!(of_truth["pid"], truth.pid());
    let glob = format!("{}/**/*.parquet", store.display());
    let newest = "SELECT count(DISTINCT t_ns), max(t_ns) FROM recordings WHERE kind = 'sample'";
    let [row] = engines::rows(&glob, newest).try_into().expect("one row");
    assert_eq!(row[0], of_truth["samples"]);
    let lost_ns = killed_ns - row[1].as_u64().expect("a time");
    assert!(lost_ns < FLUSH_NS + SLACK_NS, "{lost_ns} ns are lost");

    // What it left unfinished goes; what was there stays.
    let unfinished = left[0].with_extension("parquet.tmp");
    fs::write(&unfinished, b"PAR1").expect("a file");
    let again = recording(home.path(), &settings, truth.pid());
    until(&again, ROWS, |rows| rows > 0);
    assert!(!unfinished.exists() && left.iter().all(|file| file.exists()));
    let ended = again.memtrace.signalled(libc::SIGTERM);
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
    let [after] = engines::rows(&glob, newest).try_into().expect("one row");
    assert!(after[0].as_u64() > row[0].as_u64() && after[1].as_u64() > Some(killed_ns), "{after:?}");
    assert!(files(&store).iter().all(|file| !file.to_string_lossy().ends_with(".tmp")), "{:?}", files(&store));
}

#[test]
fn the_oldest_go_when_there_is_too_much() {
    const MAX: u64 = 64 << 10;
    let home = tempfile::tempdir().expect("a directory");
    let truth = quiet_truth();
    let store = home.path().join("store");
    let settings = format!("directory = {store:?}\nflush_interval = \"50ms\"\nmax_bytes = \"64KiB\"");
    let agent = recording(home.path(), &settings, truth.pid());
    let first = wait_until("a file", || recordings(&store).into_iter().next());
    wait_until("the first to go", || {
        let bytes = metric(&agent, "memtrace_recording_bytes")?;
        assert!(bytes <= MAX, "{bytes}");
        (!first.exists()).then_some(())
    });
    assert_eq!(metric(&agent, DROPPED), Some(0));
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
    let left = recordings(&store);
    let bytes: u64 = left.iter().map(|file| file.metadata().expect("a file").len()).sum();
    assert!(bytes <= MAX && left.len() > 1, "{bytes} in {left:?}");
    assert_eq!(replay(&store, &[]).code(), Some(0));
}

/// A small disk; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    #[track_caller]
    fn mount(at: &Path, bytes: u64) -> Disk {
        fs::create_dir(at).expect("a directory");
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        assert!(mounted.expect("mount").success());
        Disk(at.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_once_and_the_agent_goes_on() {
    const BYTES: u64 = 512 << 10;
    let home = tempfile::tempdir().expect("a directory");
    let truth = quiet_truth();
    let disk = Disk::mount(&home.path().join("disk"), BYTES);
    let filler = disk.0.join("filler");
    // To the last page.
    let mut rest = vec![0; BYTES as usize];
    while !rest.is_empty() && fs::write(&filler, &rest).is_err() {
        rest.truncate(rest.len().saturating_sub(4096));
    }
    let store = disk.0.join("store");
    let settings = format!("directory = {store:?}\nflush_interval = \"100ms\"");
    fs::write(&filler, &rest[..rest.len() - 16384]).expect("room for the lock and the directories");
    let agent = recording(home.path(), &settings, truth.pid());
    // What was left of room is used up.
    let dropped = until(&agent, DROPPED, |dropped| dropped >= 3);
    let still = until(&agent, DROPPED, |now| now > dropped + 3);
    fs::remove_file(&filler).expect("the filler");
    let rows = metric(&agent, ROWS).unwrap_or(0);
    until(&agent, ROWS, |now| now > rows + 3);
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let [said] =
        ended.stderr.lines().collect::<Vec<_>>().try_into().unwrap_or_else(|lines| panic!("{still}: {lines:?}"));
    assert!(said.contains("cannot record in") && said.contains("No space left on device"), "{said}");
    assert_eq!(replay(&store, &[]).code(), Some(0), "what is there is whole");
    let glob = format!("{}/**/*.parquet", store.display());
    let dropped = "SELECT max(dropped_rows) > 6 FROM recordings WHERE kind = 'account'";
    let told = engines::rows(&glob, &format!("SELECT CASE WHEN ({dropped}) THEN 1 ELSE 0 END"));
    assert_eq!(told, [[1]], "the recording itself says what it lacks");
}
