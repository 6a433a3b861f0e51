//! A cgroup and those below it: their directories, and who is in them.
use crate::procfs::read_whole;
use std::collections::{BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// As they were when read: cgroups and processes come and go.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The cgroup's own first.
    pub directories: Vec<PathBuf>,
    /// Inodes of the directories: the kernel's ids of the cgroups.
    pub ids: HashSet<u64>,
    stamps: Vec<Stamp>,
    /// One was there and went while it was read.
    is_torn: bool,
}

/// Of a directory: its inode, and how many there are below it.
type Stamp = (u64, u64);

fn stamp(of: &Metadata) -> Stamp {
    (of.ino(), of.nlink())
}

impl Tree {
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree::default();
        let mut todo = vec![root.to_owned()];
        while let Some(directory) = todo.pop() {
            let Ok(metadata) = directory.metadata() else {
                tree.is_torn = true;
                continue;
            };
            tree.ids.insert(metadata.ino());
            tree.stamps.push(stamp(&metadata));
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            todo.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
            tree.directories.push(directory);
        }
        tree
    }

    /// No cgroup has come or gone since.
    pub fn stands(&self) -> bool {
        let is_same = |(at, before): (&PathBuf, &Stamp)| at.metadata().is_ok_and(|now| stamp(&now) == *before);
        !self.is_torn && !self.directories.is_empty() && self.directories.iter().zip(&self.stamps).all(is_same)
    }

    /// The processes in all of them, by pid.
    pub fn pids(&self) -> BTreeSet<u32> {
        self.directories.iter().flat_map(|at| pids(at)).collect()
    }

    /// Where this process is; `None`: in none of them.
    pub fn find(&self, pid: u32) -> Option<&Path> {
        self.directories.iter().find(|at| pids(at).contains(&pid)).map(PathBuf::as_path)
    }
}

/// In one of them. Of a process in another pid namespace the kernel says 0: it is left out.
fn pids(directory: &Path) -> Vec<u32> {
    let text = read_whole(&directory.join("cgroup.procs")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_below_belong_to_it_and_strangers_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        fs::write(root.path().join("cgroup.procs"), "7\n0\n").unwrap();
        fs::write(inner.join("cgroup.procs"), "3\n7\n").unwrap();
        let tree = Tree::read(root.path());
        assert_eq!((tree.directories.len(), tree.ids.len()), (3, 3));
        assert_eq!(tree.directories[0], root.path());
        assert_eq!((tree.find(3), tree.find(0)), (Some(inner.as_path()), None));
        assert_eq!(tree.pids().into_iter().collect::<Vec<_>>(), [3, 7]);
    }

    #[test]
    fn a_tree_stands_until_a_cgroup_comes_or_goes() {
        assert!(!Tree::default().stands());
        let root = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| root.path().join(name));
        fs::create_dir(&a).unwrap();
        let tree = Tree::read(root.path());
        fs::write(a.join("cgroup.procs"), "7\n").unwrap();
        assert!(tree.stands(), "who is in it is another matter");
        fs::create_dir(&b).unwrap();
        assert!(!tree.stands());
        fs::remove_dir(&b).unwrap();
        assert!(tree.stands());
        fs::rename(&a, &b).unwrap();
        assert!(!tree.stands(), "as many, and not the same");
    }
}
