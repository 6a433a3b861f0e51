//! Go runtimes that end their process are heard.
use super::Follower;
use crate::enrich::news::News;
use crate::goruntime::fatal::FatalPoints;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

impl Follower {
    /// A held command may end itself before its exec has been looked at.
    pub(super) fn watch_fatal_early(&mut self, pid: u32, command: &[OsString]) {
        let path = command.first().and_then(|program| executable_path(program));
        let points = path.and_then(|path| FatalPoints::of_file(&path));
        let Some(points) = points.filter(|_| self.kernel.hears_fatal()) else { return };
        // What fails now is tried, and said, once more then.
        self.kernel.watch_fatal(pid, &points).unwrap_or_else(|why| log::debug!("pid {pid}: {why}"));
    }

    /// Its runtime is heard as it ends the process; of another program that is not Go's nothing is to be heard.
    pub(super) fn watch_fatal(&mut self, pid: u32, is_go: bool) {
        if !self.kernel.hears_fatal() {
            return;
        }
        let watched = if is_go {
            let points = self.finder.fatal_points(pid).map_err(|why| why.to_string());
            points.and_then(|points| self.kernel.watch_fatal(pid, &points).map_err(|why| why.to_string()))
        } else {
            self.kernel.forget_fatal(pid).map_err(|why| why.to_string())
        };
        if let Err(why) = watched {
            log::debug!("pid {pid}: its fatal errors are not heard: {why}");
            self.deaf.0 += 1;
            self.deaf.1.get_or_insert(why);
        }
    }

    pub(super) fn tell_deaf(&self, tell: &mut impl FnMut(News)) {
        if let (n, Some(why)) = &self.deaf {
            tell(News::Note(format!("fatal errors of {n} Go processes were not heard: {why}")));
        }
    }
}

/// The file that is run by that name.
fn executable_path(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|at| at.join(program)).find(|path| path.is_file())
}
