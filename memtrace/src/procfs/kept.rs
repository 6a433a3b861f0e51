//! Files of a process that are read again and again, kept open: to open one takes longer than to read it. They are of that
//! process, whoever has its pid later.
use super::cgroup::{Membership, parse_memberships};
use super::process::{Stat, Status};
use super::{ProcError, error, path, record};
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};

/// Of the files that memtrace may have open: the others are for what cannot do without.
const SHARE: u64 = 4;

/// How many there are.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// One of them, counted.
#[derive(Debug)]
struct Open(File);

impl Open {
    fn keep(file: File) -> Option<Open> {
        let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE;
        let open = Open(file);
        // Beyond that it is closed and counted off at once.
        (OPEN.fetch_add(1, Ordering::Relaxed) < most).then_some(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Of one process; opened when they are first asked for.
#[derive(Debug)]
pub struct Kept {
    pid: u32,
    stat: Option<Open>,
    status: Option<Open>,
    cgroup: Option<Open>,
}

impl Kept {
    pub fn new(pid: u32) -> Kept {
        Kept { pid, stat: None, status: None, cgroup: None }
    }

    pub fn stat(&mut self) -> Result<Stat, ProcError> {
        let parse = |text: &str| Stat::parse(text, ::procfs::ticks_per_second());
        read(self.pid, "stat", &mut self.stat, parse)
    }

    pub fn status(&mut self) -> Result<Status, ProcError> {
        read(self.pid, "status", &mut self.status, Status::parse)
    }

    pub fn memberships(&mut self) -> Result<Vec<Membership>, ProcError> {
        self.places().map(|text| parse_memberships(&text))
    }

    /// The text of the same: most often it is what it was.
    pub fn places(&mut self) -> Result<String, ProcError> {
        read(self.pid, "cgroup", &mut self.cgroup, |text| Some(text.to_owned()))
    }

    /// It is not asked for again.
    pub fn let_go_of_stat(&mut self) {
        self.stat = None;
    }

    /// Its `status` stays that of one process, whoever has the pid later.
    pub fn keeps_status(&self) -> bool {
        self.status.is_some()
    }
}

fn read<T>(
    pid: u32,
    name: &'static str,
    kept: &mut Option<Open>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ProcError> {
    let read = match kept {
        Some(open) => record(&open.0, parse),
        None => File::open(path(pid, name)).and_then(|file| {
            let read = record(&file, parse);
            *kept = Open::keep(file);
            read
        }),
    };
    read.map_err(|why| error(pid, name, why))?.ok_or(ProcError::Syntax { pid, file: name })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_is_kept_is_read_anew_and_ends_with_its_process() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let mut kept = Kept::new(child.id());
        let read = || Status::read(child.id()).unwrap();
        for _ in 0..3 {
            // It has only begun: what both looks around one agree upon is what that one says.
            let (before, status) = loop {
                let looks = (read(), kept.status().unwrap());
                if looks.0 == read() {
                    break looks;
                }
            };
            assert_eq!(status, before);
            assert_eq!(kept.stat().unwrap().start_boottime_ns, Stat::read(child.id()).unwrap().start_boottime_ns);
            assert!(!kept.memberships().unwrap().is_empty());
        }
        assert!(kept.stat.is_some() && kept.status.is_some() && kept.cgroup.is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(kept.stat(), Err(ProcError::Vanished { .. })), "{:?}", kept.stat());
        assert!(matches!(kept.status(), Err(ProcError::Vanished { .. })), "{:?}", kept.status());
    }
}
