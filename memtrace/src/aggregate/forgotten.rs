//! Targets that turned out not to be meant, the newest of them: records of theirs may still be on the way. An id may come
//! again, long after.
use crate::event::TargetId;
use std::collections::HashSet;

/// Of each half. As many as the kernel knows at once.
const MAX: usize = 16384;

#[derive(Debug, Default)]
pub(super) struct Forgotten {
    newer: HashSet<TargetId>,
    older: HashSet<TargetId>,
}

impl Forgotten {
    pub(super) fn add(&mut self, target: TargetId) {
        if self.newer.len() == MAX {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(target);
    }

    pub(super) fn contains(&self, target: TargetId) -> bool {
        self.newer.contains(&target) || self.older.contains(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_the_oldest_are_not() {
        let mut forgotten = Forgotten::default();
        for target in 0..5 * MAX as u32 {
            forgotten.add(target);
            let oldest = target.saturating_sub(MAX as u32 - 1);
            assert!(forgotten.contains(target) && forgotten.contains(oldest), "{target}");
            assert!(!forgotten.contains(target + 1));
        }
        assert!((0..3 * MAX as u32).all(|target| !forgotten.contains(target)));
    }
}
