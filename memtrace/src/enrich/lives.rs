//! Every process that was ever followed, by what has become of it.
use crate::event::TargetId;

/// `met = those that are followed now + ended + unheard + not_meant`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lives {
    pub met: u64,
    /// A record told of their end.
    pub ended: u64,
    /// They are gone, and no record said so.
    pub unheard: u64,
    /// They became something that is not meant.
    pub not_meant: u64,
    /// Not among those that were met: they ended before it could be told whether they were meant.
    pub unidentified: u64,
}

impl Lives {
    /// `before`: who had this pid, as far as is known. Another one has ended: its record is still on the way.
    pub(super) fn meet(&mut self, target: TargetId, before: Option<TargetId>) {
        if before != Some(target) {
            self.met += 1;
            self.ended += u64::from(before.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_met_again_after_an_exec_is_one_and_who_has_its_pid_later_is_another() {
        let mut lives = Lives::default();
        for (target, before) in [(1, None), (1, Some(1)), (2, Some(1)), (3, None)] {
            lives.meet(target, before);
        }
        assert_eq!(lives, Lives { met: 3, ended: 1, ..Lives::default() });
    }
}
