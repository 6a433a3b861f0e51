//! The functions by which the Go runtimes of targets end their processes: hooked in a file, for all that run it, as long
//! as a target does. To let one go takes the kernel about 0.1 s, a file at a time.
use super::attach::{Attached, one_line};
use super::targets::ignore_absent;
use super::{Kernel, KernelError, known_calls, map_error};
use crate::goruntime::fatal::{self, FatalPoints, FileKey};
use aya::maps::{HashMap, MapData};
use memtrace_common::names::map;
use std::collections::HashSet;

const BPF_ANY: u64 = 0;
/// Files hooked at once.
const FILES_MAX: usize = 64;
/// The last is for panics before Go 1.26.
pub(super) const FATAL_PROGRAMS: [&str; 4] = ["go_throw", "go_fatal", "go_panic", "go_panic_old"];

/// A file with a Go runtime that targets run.
#[derive(Debug)]
pub(super) struct FatalFile {
    key: FileKey,
    users: HashSet<u32>,
    pub(super) links: Vec<Attached>,
}

#[derive(Debug, thiserror::Error)]
pub enum FatalError {
    #[error(transparent)]
    Kernel(#[from] KernelError),
    #[error("its executable has none of {}", fatal::FUNCTIONS.join(", "))]
    NoFunction,
    #[error("{FILES_MAX} executables are watched already")]
    Full,
    #[error("{0}")]
    Attach(String),
}

impl Kernel {
    /// Hears the runtime of a process as it ends it; what the process ran before is let go.
    pub fn watch_fatal(&mut self, tgid: u32, points: &FatalPoints) -> Result<(), FatalError> {
        self.leave_fatal(tgid, Some(points.file));
        let known = self.fatal_files.iter_mut().find(|file| file.key == points.file);
        if let Some(file) = known {
            file.users.insert(tgid);
        } else {
            let file = FatalFile { key: points.file, users: HashSet::from([tgid]), links: self.attach_fatal(points)? };
            self.fatal_files.push(file);
        }
        Ok(self.fatal_due()?.insert(tgid, 1, BPF_ANY).map_err(map_error(map::FATAL_DUE))?)
    }

    /// It has ended, or is no longer Go's.
    pub fn forget_fatal(&mut self, tgid: u32) -> Result<(), KernelError> {
        self.leave_fatal(tgid, None);
        ignore_absent(map::FATAL_DUE, self.fatal_due()?.remove(&tgid))
    }

    /// It runs no file any more but this.
    fn leave_fatal(&mut self, tgid: u32, but: Option<FileKey>) {
        for file in self.fatal_files.iter_mut().filter(|file| Some(file.key) != but) {
            file.users.remove(&tgid);
        }
        let unused = self.fatal_files.extract_if(.., |file| file.users.is_empty());
        let links: Vec<Attached> = unused.flat_map(|file| file.links).collect();
        if !links.is_empty() {
            self.leaving.retain(|thread| !thread.is_finished());
            self.leaving.push(std::thread::spawn(move || drop(links)));
        }
    }

    /// Until nobody is still at it: threads keep the rights that they were started with.
    pub fn finish_leaving(&mut self) {
        for thread in self.leaving.drain(..) {
            // Dropping panics nowhere; if it did, it has ended all the same.
            let _ = thread.join();
        }
    }

    /// Whether a file of ours could be hooked now: rights may have been dropped. The links end here, not on a thread.
    pub fn can_hear_more(&mut self) -> bool {
        let points = known_calls::fatal_points();
        match points.map(|points| self.attach_fatal(&points)) {
            Some(Ok(_links)) => true,
            Some(Err(why)) => {
                log::debug!("no more files are hooked: {why}");
                false
            }
            None => false,
        }
    }

    fn attach_fatal(&mut self, points: &FatalPoints) -> Result<Vec<Attached>, FatalError> {
        if self.fatal_files.len() >= FILES_MAX {
            return Err(FatalError::Full);
        }
        if points.functions.is_empty() {
            return Err(FatalError::NoFunction);
        }
        let mut attach = |(function, offset): &(&'static str, u64)| {
            self.attach_user(program(function, points.is_argp_first), &points.path, *offset)
        };
        let links = points.functions.iter().map(|at| attach(at).map_err(|why| FatalError::Attach(one_line(why))));
        links.collect()
    }

    fn fatal_due(&mut self) -> Result<HashMap<&mut MapData, u32, u32>, KernelError> {
        let due = self.ebpf.map_mut(map::FATAL_DUE).ok_or(KernelError::Absent(map::FATAL_DUE))?;
        HashMap::try_from(due).map_err(map_error(map::FATAL_DUE))
    }
}

fn program(function: &str, is_argp_first: bool) -> &'static str {
    let [throw, fatal, panic, panic_old] = FATAL_PROGRAMS;
    match (function, is_argp_first) {
        (fatal::THROW, _) => throw,
        (fatal::FATAL, _) => fatal,
        (_, false) => panic,
        (_, true) => panic_old,
    }
}
