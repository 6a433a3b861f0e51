//! The configuration was read again.
use super::Follower;
use crate::config::file::File;
use crate::enrich::news::{FollowError, News};
use crate::procfs::own::raise_open_files;

impl Follower {
    /// Who is no longer meant is let go as if it never had been; who is meant now is met.
    pub fn settle_by(&mut self, file: &File, tell: &mut impl FnMut(News)) -> Result<(), FollowError> {
        if let Some(watcher) = &mut self.watcher {
            watcher.settle(file.black_box.pace(Some(file.limits.cpu_percent)));
        }
        if let Err(why) = raise_open_files(Some(file.limits.max_open_files)) {
            tell(News::Note(format!("the limit of open files stays as it is: {why}")));
        }
        if !self.selector.rule(file.targets.clone()) {
            return Ok(());
        }
        let known: Vec<_> = self.known.iter().map(|(pid, known)| (*pid, known.target)).collect();
        for (pid, target) in known {
            if !self.selector.admits(pid) {
                self.forget(pid)?;
                self.lives.not_meant += 1;
                self.drop_target(pid, target)?;
                tell(News::NotMeant(target));
            }
        }
        self.scan(tell).map(drop)
    }
}
