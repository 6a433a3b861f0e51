//! The configuration file, read again while memtrace runs: at SIGHUP, and when it has become another.
use crate::config::file::File;
use crate::config::over::Over;
use crate::procfs::clock;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// The file is looked at so often. It is read when it was the same twice: who writes it may not have ended.
const LOOK_NS: u64 = 1_000_000_000;

/// Which file it is: a new one may have taken its place, as Kubernetes does it with those of a ConfigMap.
type Stamp = (u64, i64, i64, u64);

#[derive(Debug)]
pub(super) struct Reload {
    over: Over,
    now: File,
    /// Of what was read last.
    read: Option<Stamp>,
    /// When it was last looked at.
    looked_ns: u64,
    seen: Option<Stamp>,
}

impl Reload {
    /// `now`: as it was read at the start.
    pub(super) fn new(over: Over, now: File) -> Reload {
        let read = stamp(&over);
        Reload { over, now, read, looked_ns: clock::monotonic_ns(), seen: read }
    }

    /// It is another file than that which was read, and nobody writes it any more.
    pub(super) fn is_due(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.looked_ns) < LOOK_NS {
            return false;
        }
        self.looked_ns = now_ns;
        let before = std::mem::replace(&mut self.seen, stamp(&self.over));
        // One that is gone is on its way back.
        self.seen.is_some() && self.seen != self.read && self.seen == before
    }

    /// What counts from now on; `None`: what counted before, since the file is wrong.
    pub(super) fn read(&mut self) -> Option<Box<File>> {
        self.read = stamp(&self.over);
        let Some(path) = &self.over.file else {
            log::warn!("SIGHUP: there is no --config to read again");
            return Some(Box::new(self.now.clone()));
        };
        match self.over.read() {
            Ok(new) => {
                let (changed, later) = self.now.changes(&new);
                log::warn!("{}: {}", path.display(), told(&changed, &later));
                self.now = new;
                Some(Box::new(self.now.clone()))
            }
            Err(why) => {
                log::error!("{why}; what was read before still counts");
                None
            }
        }
    }
}

fn told(changed: &[String], later: &[String]) -> String {
    match (changed, later) {
        ([], []) => "read again: nothing has changed".to_owned(),
        (_, []) => format!("read again: {}", changed.join(", ")),
        ([], _) => format!("read again: only at the next start counts {}", later.join(", ")),
        _ => format!("read again: {}; only at the next start counts {}", changed.join(", "), later.join(", ")),
    }
}

fn stamp(over: &Over) -> Option<Stamp> {
    let of = fs::metadata(over.file.as_ref()?).ok()?;
    Some((of.ino(), of.mtime(), of.mtime_nsec(), of.size()))
}
