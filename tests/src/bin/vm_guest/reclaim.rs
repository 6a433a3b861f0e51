//! A memory cgroup that takes memory back, and the pressure that this is.
use crate::ledger::PAGES;
use crate::{Test, test};
use memtrace::host::Host;
use memtrace_tests::{Deadline, MemoryCgroup, Memtrace, PAGE, Pages, outgrow, wait_until};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

const LIMIT_PAGES: u64 = 16384;
const LAZY_PAGES: u64 = 12288;
/// `MEMCG_CHARGE_BATCH` of 5.10: before 5.13 (rstat) so much of a sum may stay with each CPU for good.
const CPU_BATCH: u64 = 32;
const RSTAT: (u32, u32) = (5, 13);

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test("lazily_freed_pages_that_a_cgroup_takes_are_told_page_by_page", lazy),
        test("pressure_triggers_fire_for_the_host_and_for_a_cgroup", triggers),
    ]
}

fn lazy() {
    let group = MemoryCgroup::new("lazy", LIMIT_PAGES * PAGE);
    let mut pages = Pages::start(PAGES, &[]);
    group.add(pages.pid());
    let memtrace = Memtrace::start(&["trace", "-o", "json", "-p", &pages.pid().to_string()]);
    wait_until("the probes", || {
        pages.run("madvise 0p 1p willneed");
        memtrace.has_spoken().then_some(())
    });
    let before = stat(&group, "pgsteal");
    outgrow(&mut pages, LAZY_PAGES);
    let gone = LAZY_PAGES - pages.resident(0, LAZY_PAGES);
    // The kernel brings its sums up to date within seconds.
    let facts = Host::read().facts;
    let kept = if facts.version < RSTAT { CPU_BATCH * u64::from(facts.possible_cpus) } else { 0 };
    wait_until("as many pages stolen as are gone", || {
        let stolen = stat(&group, "pgsteal") - before;
        (gone.saturating_sub(kept)..=gone).contains(&stolen).then_some(())
    });
    let lines = memtrace.interrupt().json();
    let stalls: Vec<&Value> = lines.iter().filter(|line| line["family"] == "reclaim").collect();
    let told = |stall: &&Value| stall["detail"]["reclaimed_bytes"].as_u64().expect("reclaimed_bytes") / PAGE;
    let reclaimed: u64 = stalls.iter().map(told).sum();
    assert!(!stalls.is_empty() && gone > 0, "{} stalls, {gone} pages gone", stalls.len());
    assert_eq!(reclaimed, gone, "{stalls:#?}");
    let id = group.id();
    assert!(stalls.iter().all(|stall| stall["detail"]["cgroup_v2_id"] == id), "cgroup {id}: {stalls:#?}");
}

/// A line of memory.stat.
fn stat(group: &MemoryCgroup, name: &str) -> u64 {
    let text = std::fs::read_to_string(group.path().join("memory.stat")).expect("memory.stat");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// Tells when tasks were stalled by memory for a millisecond out of 500.
fn trigger(path: &Path) -> File {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut file = opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.write_all(b"some 1000 500000\0").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file
}

fn has_fired(file: &File) -> bool {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // SAFETY: one structure, valid for writing.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    assert!(poll.revents & libc::POLLERR == 0, "the trigger is gone");
    ready == 1 && poll.revents & libc::POLLPRI != 0
}

fn triggers() {
    assert_eq!(Memtrace::json(&["doctor"])["psi"], true);
    let group = MemoryCgroup::new("pressure", LIMIT_PAGES * PAGE);
    let files = [trigger(Path::new("/proc/pressure/memory")), trigger(&group.path().join("memory.pressure"))];
    assert!(files.iter().all(|file| !has_fired(file)), "nobody has been stalled yet");
    let deadline = Deadline::default();
    let mut fired = [false; 2];
    while fired != [true; 2] {
        assert!(!deadline.left().is_zero(), "fired: {fired:?}");
        let mut pages = Pages::start(PAGES, &[]);
        group.add(pages.pid());
        outgrow(&mut pages, LAZY_PAGES);
        fired.iter_mut().zip(&files).for_each(|(fired, file)| *fired |= has_fired(file));
    }
}
