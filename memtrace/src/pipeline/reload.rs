//! The configuration file, and those of the token and the certificate, read again while memtrace runs: at SIGHUP, and when
//! one has become another.
use crate::config::file::File;
use crate::config::over::Over;
use crate::procfs::clock;
use crate::sink::http::Secrets;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The files are looked at so often. They are read when they were the same twice: who writes them may not have ended.
const LOOK_NS: u64 = 1_000_000_000;

/// Which file it is: a new one may have taken its place, as Kubernetes does it with those of a ConfigMap or a Secret.
type Stamp = (u64, i64, i64, u64);

#[derive(Debug)]
pub(super) struct Reload {
    over: Over,
    now: File,
    secrets: Secrets,
    /// Of what was read last, the configuration first.
    read: Vec<Option<Stamp>>,
    /// When they were last looked at.
    looked_ns: u64,
    seen: Vec<Option<Stamp>>,
}

impl Reload {
    /// `now`: as it was read at the start.
    pub(super) fn new(over: Over, now: File, secrets: Secrets) -> Reload {
        let read: Vec<_> = files(&over, &secrets).map(stamp).collect();
        Reload { over, now, secrets, seen: read.clone(), read, looked_ns: clock::monotonic_ns() }
    }

    /// They are other files than those which were read, and nobody writes them any more.
    pub(super) fn is_due(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.looked_ns) < LOOK_NS {
            return false;
        }
        self.looked_ns = now_ns;
        let seen = files(&self.over, &self.secrets).map(stamp).collect();
        let before = std::mem::replace(&mut self.seen, seen);
        // One that is gone is on its way back.
        self.seen.iter().all(Option::is_some) && self.seen != self.read && self.seen == before
    }

    /// What counts from now on; `None`: what counted before, since a file is wrong.
    pub(super) fn read(&mut self) -> Option<Box<File>> {
        let Some(path) = &self.over.file else {
            log::warn!("SIGHUP: there is no --config to read again");
            return Some(Box::new(self.now.clone()));
        };
        let stamps: Vec<_> = files(&self.over, &self.secrets).map(stamp).collect();
        let before = std::mem::replace(&mut self.read, stamps);
        let both = self.over.read().and_then(|new| self.secrets.read().map(|()| new));
        match both {
            Ok(new) => {
                let (mut changed, later) = self.now.changes(&new);
                let stamps = before.iter().zip(&self.read).skip(1);
                let renewed = self.secrets.files().zip(stamps).filter(|(_, (before, now))| before != now);
                changed.extend(renewed.map(|(file, _)| file.display().to_string()));
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

/// The configuration, where there is one, and what it names: without one there is no secret.
fn files<'a>(over: &'a Over, secrets: &'a Secrets) -> impl Iterator<Item = &'a Path> {
    over.file.as_deref().into_iter().chain(secrets.files())
}

fn told(changed: &[String], later: &[String]) -> String {
    match (changed, later) {
        ([], []) => "read again: nothing has changed".to_owned(),
        (_, []) => format!("read again: {}", changed.join(", ")),
        ([], _) => format!("read again: only at the next start counts {}", later.join(", ")),
        _ => format!("read again: {}; only at the next start counts {}", changed.join(", "), later.join(", ")),
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let of = fs::metadata(file).ok()?;
    Some((of.ino(), of.mtime(), of.mtime_nsec(), of.size()))
}
