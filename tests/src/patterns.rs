//! Programs that run out of memory in a known way (tests/workloads/patterns), and what `watch-oom` makes of them.
use crate::child::Child;
use crate::{MemoryCgroup, Memtrace, dossiers};
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Those that a memory cgroup can be made to die of: lazily freed pages are reclaimed before anyone is killed, khugepaged
/// keeps its own time, and a machine without memory is no place for tests.
pub const PLAYED: &[&str] = &[
    "heap_leak",
    "goroutine_leak",
    "allocation_burst",
    "gc_death_spiral",
    "fragmentation",
    "retained_idle",
    "off_heap",
    "page_cache",
    "shmem",
    "kernel_memory",
    "neighbour",
    "limit_too_small",
];

/// A wrong verdict with so much confidence is worse than none.
pub const CONFIDENT: f64 = 0.6;

/// One death.
#[derive(Clone, Debug)]
pub struct Judged {
    pub truth: &'static str,
    pub verdict: String,
    pub confidence_ratio: f64,
    pub dossier: Value,
}

impl Judged {
    pub fn is_right(&self) -> bool {
        self.verdict == self.truth
    }

    /// What a failed test says of it.
    pub fn in_short(&self) -> String {
        let points = self.dossier["timeline"]["t_ns"].as_array().map_or(0, Vec::len);
        let charge = self.dossier["timeline"]["signals"]["cgroup_charge_bytes"].as_array().and_then(|of| of.last());
        let (truth, verdict, confidence) = (self.truth, &self.verdict, self.confidence_ratio);
        format!("{truth}: {verdict} {confidence:.2} of {points} points, the last at {charge:?} bytes")
    }

    pub fn is_confidently_wrong(&self) -> bool {
        !self.is_right() && self.confidence_ratio >= CONFIDENT
    }
}

/// Built by `cargo xtask test`.
#[track_caller]
pub fn patterns_binary() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/workloads/patterns");
    assert!(path.exists(), "{} is missing: cargo xtask test builds it", path.display());
    path
}

/// Those of them that the program in C plays, built with the others.
pub const NATIVE: &[&str] = &["off_heap", "page_cache", "shmem", "kernel_memory", "neighbour"];

#[track_caller]
pub fn native_binary() -> PathBuf {
    patterns_binary().with_file_name("patterns-native")
}

/// All of these, each in a cgroup of its own, to the end.
#[track_caller]
pub fn play(binary: &Path, truths: &[&'static str], limit_mib: u64, seed: u64, seconds: u64) -> Vec<Judged> {
    let directory =
        tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target")).expect("a directory on a disk");
    let start = |truth: &&'static str| {
        let group = MemoryCgroup::new(&format!("{truth}-{limit_mib}-{seed}"), limit_mib << 20);
        let mut command = Command::new(binary);
        command.args([truth, &*limit_mib.to_string(), &*seconds.to_string(), &*seed.to_string()]);
        command.env("PATTERNS_DIRECTORY", directory.path());
        for inherited in ["GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"] {
            command.env_remove(inherited);
        }
        let mut child = Child::start(&mut command);
        assert_eq!(child.line().as_deref(), Some("ready"), "{truth}: {}", child.rest().1);
        group.add(child.pid());
        (*truth, group, child)
    };
    let mut players: Vec<_> = truths.iter().map(start).collect();
    let pids: Vec<String> = players.iter().map(|(_, _, child)| child.pid().to_string()).collect();
    let saved = directory.path().join("dossiers");
    let memtrace = Memtrace::watching(&saved, &["-p", &pids.join(",")]);
    players.iter_mut().for_each(|(_, _, child)| child.say("go"));
    for (_, _, child) in &mut players {
        child.end();
    }
    let ended = memtrace.end();
    let lines = ended.json();
    players.iter().map(|(truth, _, child)| judged(truth, child.pid(), &lines)).collect()
}

/// Without a dossier the verdict is `none`, which is wrong.
fn judged(truth: &'static str, pid: u32, lines: &[Value]) -> Judged {
    let dossier = lines.iter().find(|line| line["kind"] == "dossier" && line["victim"]["pid"] == pid);
    let dossier = dossier.cloned().unwrap_or_default();
    let verdict = dossier["verdict"]["pattern"].as_str().unwrap_or("none").to_owned();
    Judged { truth, verdict, confidence_ratio: dossier["verdict"]["confidence_ratio"].as_f64().unwrap_or(0.0), dossier }
}

/// Of so many deaths at different paces: with Go's counters of the very end, and with a heap profile of the last seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    pub dossiers: usize,
    pub counters: usize,
    pub profiles: usize,
    /// How many had each source of those that a dossier names, of the last seconds.
    pub sources: BTreeMap<String, usize>,
    /// The account, and what was written beside: why something is missing.
    pub said: String,
}

impl Fresh {
    /// How often each source succeeded.
    pub fn in_words(&self) -> String {
        let each: Vec<String> = self.sources.iter().map(|(source, had)| format!("{source} {had}")).collect();
        let seconds = FRESH_NS / 1_000_000_000;
        format!(
            "of {} deaths at five paces, so many dossiers had it, no older than {seconds} s: {}",
            self.dossiers,
            each.join("; ")
        )
    }
}

/// A heap profile that is older says little of the end.
const FRESH_NS: u64 = 5_000_000_000;

/// Programs that keep all they allocate, and reach their limit after one to five seconds.
#[track_caller]
pub fn die_at_different_paces(binary: &Path, victims: u64, limit_mib: u64) -> Fresh {
    let directory = tempfile::tempdir().expect("a directory");
    let start = |n: u64| {
        let group = MemoryCgroup::new(&format!("pace-{n}"), limit_mib << 20);
        let arguments = ["heap_leak".to_owned(), limit_mib.to_string(), (1 + n % 5).to_string(), n.to_string()];
        let mut child = Child::start(Command::new(binary).args(arguments));
        assert_eq!(child.line().as_deref(), Some("ready"), "{}", child.rest().1);
        group.add(child.pid());
        (group, child)
    };
    let mut victims: Vec<_> = (0..victims).map(start).collect();
    let pids: Vec<String> = victims.iter().map(|(_, child)| child.pid().to_string()).collect();
    let memtrace = Memtrace::watching(directory.path(), &["-p", &pids.join(",")]);
    victims.iter_mut().for_each(|(_, child)| child.say("go"));
    for (_, child) in &mut victims {
        assert_eq!(child.end().signal(), Some(libc::SIGKILL));
    }
    let mut fresh = Fresh::default();
    let ended = memtrace.end();
    fresh.said = format!("{:?} {}", ended.lines.last(), ended.stderr);
    for dossier in dossiers(&ended) {
        let sources = dossier["sources"].as_array().expect("sources");
        let is_fresh = |source: &&Value| source["age_ns"].as_u64().is_some_and(|age| age <= FRESH_NS);
        let name = |source: &Value| source["name"].as_str().expect("a name").to_owned();
        let had: Vec<String> = sources.iter().filter(is_fresh).map(name).collect();
        fresh.dossiers += 1;
        fresh.counters += usize::from(!dossier["last_words"].is_null());
        fresh.profiles += usize::from(had.iter().any(|name| name.starts_with("heap profile")));
        sources.iter().for_each(|source| {
            *fresh.sources.entry(name(source)).or_default() += usize::from(had.contains(&name(source)))
        });
    }
    fresh
}
