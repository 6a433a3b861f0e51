//! How a memory cgroup tells by itself that its memory is short: v2 by a file that wakes its readers, v1 by eventfds that are
//! registered in cgroup.event_control. See Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
use super::{above, entry, text, v1, v2};
use crate::event::{Level, MemoryEvents};
use crate::host::mounts::CgroupFacts;
use rustix::event::{EventfdFlags, eventfd};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// v2: how long its tasks waited; a trigger is written into it.
pub const PRESSURE: &str = "memory.pressure";
/// A cgroup and those above it that have a limit of their own: the nearest, so many.
const WATCHED_ABOVE: usize = 3;

/// v2 memory.events, open: polled for priority it tells of each change since it was last read.
#[derive(Debug)]
pub struct EventsFile(File);

impl EventsFile {
    /// `below`: with all that happens in the cgroups below it.
    pub fn open(directory: &Path, below: bool) -> io::Result<EventsFile> {
        let name = if below { "memory.events" } else { "memory.events.local" };
        File::open(directory.join(name)).map(EventsFile)
    }

    /// An error: the cgroup is gone.
    pub fn read(&mut self) -> io::Result<MemoryEvents> {
        let mut text = String::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_string(&mut text)?;
        Ok(parse_events(&text))
    }

    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone().map(OwnedFd::from)
    }
}

fn parse_events(text: &str) -> MemoryEvents {
    let of = |key| entry(text, key).unwrap_or(0);
    MemoryEvents {
        low: of("low"),
        high: of("high"),
        max: of("max"),
        oom: of("oom"),
        oom_kill: of("oom_kill"),
        oom_group_kill: of("oom_group_kill"),
    }
}

/// v1: readable after each time that reclaim was this hard, or harder.
pub fn register_level(directory: &Path, level: Level) -> io::Result<OwnedFd> {
    register(directory, "memory.pressure_level", level.name())
}

/// v1: readable after each time that the cgroup was out of memory.
pub fn register_oom(directory: &Path) -> io::Result<OwnedFd> {
    register(directory, "memory.oom_control", "")
}

/// v1: readable after each time that the usage passed this.
pub fn register_threshold(directory: &Path, bytes: u64) -> io::Result<OwnedFd> {
    register(directory, v1::CHARGE, &bytes.to_string())
}

/// The kernel keeps what it needs of the two files: they need not stay open.
fn register(directory: &Path, file: &str, argument: &str) -> io::Result<OwnedFd> {
    let told = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let about = File::open(directory.join(file))?;
    let mut control = OpenOptions::new().write(true).open(directory.join("cgroup.event_control"))?;
    let line = format!("{} {} {argument}", told.as_raw_fd(), about.as_raw_fd());
    control.write_all(line.trim_end().as_bytes())?;
    Ok(told)
}

/// Its own limit.
pub fn limit_of(directory: &Path, version: u8) -> Option<u64> {
    let own_limit = if version == 1 { v1::own_limit } else { v2::own_limit };
    own_limit(directory, &text)
}

/// A cgroup, and those above it that have a limit of their own: each of them may run out of memory. Nearest first.
pub fn that_may_run_out(own: PathBuf, facts: &CgroupFacts) -> Vec<PathBuf> {
    let (Some(root), Some(version)) = (&facts.memory_path, facts.memory_version) else { return Vec::new() };
    let limited: Vec<PathBuf> = above(&own, root)
        .skip(1)
        .filter(|at| limit_of(at, version).is_some())
        .take(WATCHED_ABOVE)
        .map(Path::to_path_buf)
        .collect();
    let mut all = vec![own];
    all.extend(limited);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_is_told_and_what_this_kernel_lacks_is_none() {
        let before = parse_events("low 0\nhigh 2\nmax 10\noom 0\noom_kill 0\n");
        let after = parse_events("low 0\nhigh 2\nmax 17\noom 1\noom_kill 1\noom_group_kill 0\n");
        let grown = after.since(&before);
        assert_eq!(grown, MemoryEvents { max: 7, oom: 1, oom_kill: 1, ..MemoryEvents::default() });
        assert!(after.since(&after).is_none() && !grown.is_none());
        assert!(before.since(&after).is_none(), "another cgroup has its name now");
        assert_eq!(grown.named().map(|(name, _)| name).len(), 6);
    }

    #[test]
    fn a_cgroup_of_version_1_that_is_none_registers_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(register_oom(directory.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
