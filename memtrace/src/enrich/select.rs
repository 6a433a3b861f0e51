//! Which processes are meant.
use super::rules::Rules;
use crate::cgroup::tree::Tree;
use crate::config::{Targets, file};
use crate::event::TaskEvent;
use crate::goruntime::{Finder, NotRead};
use crate::host::facts::Facts;
use crate::host::mounts::CgroupFacts;
use crate::procfs::{self, ProcError, cgroup, process};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Decides for one process at a time, from what /proc says of it now.
pub struct Selector {
    targets: Targets,
    /// The cgroup's path inside its hierarchy, with that hierarchy's v1 controllers (empty: v2).
    cgroup: Option<(String, Vec<String>)>,
    tree: Option<CgroupTree>,
    from_above: Option<CgroupFacts>,
    /// Processes of which this user may not know what they are.
    not_permitted: u64,
    /// Files that were looked at before.
    finder: Finder,
    rules: Rules,
}

/// Inode numbers of a cgroup's directory and of all below it.
#[derive(Clone, Debug)]
struct CgroupTree {
    root: PathBuf,
    ids: HashSet<u64>,
    read: Instant,
}

impl CgroupTree {
    /// New directories appear with new containers; looked for at most ten times a second.
    const REREAD: Duration = Duration::from_millis(100);

    fn read(root: &Path) -> Self {
        Self { root: root.to_owned(), ids: Tree::read(root).ids, read: Instant::now() }
    }

    fn reread(&mut self) -> bool {
        let due = self.read.elapsed() >= Self::REREAD;
        if due {
            *self = Self::read(&self.root);
        }
        due
    }
}

impl Selector {
    /// Fails when a cgroup is named that is none.
    pub fn new(targets: &Targets, facts: &Facts) -> Result<Self, String> {
        let mut tree = None;
        let cgroup = match targets {
            Targets::Cgroup(path) => {
                let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
                tree = Some(CgroupTree::read(&path));
                let inside = facts.cgroup.inside(&path);
                Some(inside.ok_or_else(|| format!("{} is not a cgroup directory", path.display()))?)
            }
            _ => None,
        };
        let is_below =
            |tree: &CgroupTree| facts.cgroup.memory_path.as_ref().is_some_and(|at| tree.root.starts_with(at));
        let is_above = facts.cgroup.namespace_root.is_some() && tree.as_ref().is_some_and(is_below);
        let from_above = is_above.then(|| facts.cgroup.clone());
        let (finder, rules) = (Finder::default(), Rules::new(facts.cgroup.clone()));
        Ok(Self { targets: targets.clone(), cgroup, tree, from_above, not_permitted: 0, finder, rules })
    }

    /// Of those that are found only these, from now on; who was named stays. True: others than before.
    pub fn rule(&mut self, rules: file::Targets) -> bool {
        self.targets.discovers() && self.rules.set(rules)
    }

    /// Whether no rule is against a process.
    pub fn admits(&self, pid: u32) -> bool {
        self.rules.admit(pid)
    }

    /// Is this process meant? A process that is gone is not.
    pub fn wants(&mut self, pid: u32) -> bool {
        self.is_meant(pid) && self.admits(pid)
    }

    fn is_meant(&mut self, pid: u32) -> bool {
        match &self.targets {
            Targets::Pids(pids) => pids.contains(&pid),
            // Only the command itself, added by name, and its children, followed in the kernel.
            Targets::Command(_) => false,
            Targets::Comm(glob) => process::comm(pid).is_ok_and(|comm| glob.is_match(comm)),
            Targets::Exe(_) | Targets::AllGo => self.look(pid) == Some(true),
            Targets::Cgroup(_) => self.in_cgroup(pid),
        }
    }

    /// Is the process that execed (or was forked) meant? What the record itself says counts, so that processes shorter
    /// than a look at /proc are judged too. `None`: it ended before that could be told.
    pub fn judge(&mut self, event: &TaskEvent) -> Option<bool> {
        let pid = event.meta.tgid;
        let is_meant = match &self.targets {
            Targets::Comm(glob) => Some(glob.is_match(event.comm_text())),
            Targets::Cgroup(_) => Some(self.cgroup_ids(event)),
            Targets::Exe(_) | Targets::AllGo => self.look(pid),
            Targets::Pids(_) | Targets::Command(_) => Some(false),
        };
        is_meant.map(|is_meant| is_meant && self.admits(pid))
    }

    /// By its executable, which has to be looked at. `None`: it is gone.
    fn look(&mut self, pid: u32) -> Option<bool> {
        let found = match &self.targets {
            Targets::Exe(glob) => process::exe(pid).map(|exe| glob.is_match(exe)).map_err(|why| match why {
                ProcError::Vanished { .. } => NotRead::Vanished,
                ProcError::Denied { .. } => NotRead::NotPermitted,
                _ => NotRead::NotGo,
            }),
            _ => self.finder.find(pid).map(|_| true),
        };
        match found {
            Ok(is_meant) => Some(is_meant),
            Err(NotRead::Refused(_)) => Some(true),
            Err(NotRead::Vanished) => None,
            Err(NotRead::NotGo | NotRead::Io(_)) => Some(false),
            Err(NotRead::NotPermitted) => {
                self.not_permitted += 1;
                Some(false)
            }
        }
    }

    /// How many processes could not be told because this user may not look at them.
    pub fn not_permitted(&self) -> u64 {
        self.not_permitted
    }

    /// A cgroup's id is its directory's inode number, in v1 and v2 alike.
    fn cgroup_ids(&mut self, event: &TaskEvent) -> bool {
        let Some(tree) = &mut self.tree else { return false };
        let ids = [event.cgroup_v1_id, event.cgroup_v2_id];
        let known = |tree: &CgroupTree| ids.iter().flatten().any(|id| tree.ids.contains(id));
        known(tree) || tree.reread() && known(tree)
    }

    /// Members of a cgroup come and go without an exec.
    pub fn needs_rescans(&self) -> bool {
        matches!(self.targets, Targets::Cgroup(_))
    }

    /// Processes of now that are meant.
    pub fn scan(&mut self) -> Vec<u32> {
        match &self.targets {
            Targets::Pids(pids) => pids.clone(),
            Targets::Command(_) => Vec::new(),
            _ => procfs::pids().map(|all| all.filter(|pid| self.wants(*pid)).collect()).unwrap_or_default(),
        }
    }

    fn in_cgroup(&self, pid: u32) -> bool {
        let Some((wanted, controllers)) = &self.cgroup else { return false };
        let Ok(memberships) = cgroup::read_memberships(pid) else { return false };
        // From above its own cgroup namespace memtrace knows directories, not what they are called inside.
        if let Some((facts, tree)) = self.from_above.as_ref().zip(self.tree.as_ref()) {
            return facts.memory_directory(&memberships).is_some_and(|at| at.starts_with(&tree.root));
        }
        let same = |m: &cgroup::Membership| match controllers.as_slice() {
            [] => m.is_v2(),
            v1 => m.controllers.iter().any(|c| v1.contains(c)),
        };
        memberships.iter().any(|m| same(m) && Path::new(&m.path).starts_with(wanted))
    }
}
