//! Which processes are meant.
use crate::config::Targets;
use crate::event::TaskEvent;
use crate::goruntime::{self, NotRead};
use crate::host::facts::Facts;
use crate::procfs::{self, ProcError, cgroup, process};
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Decides for one process at a time, from what /proc says of it now.
#[derive(Clone, Debug)]
pub struct Selector {
    targets: Targets,
    /// The cgroup's path inside its hierarchy, with that hierarchy's v1 controllers (empty: v2).
    cgroup: Option<(String, Vec<String>)>,
    tree: Option<CgroupTree>,
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
        let mut ids = HashSet::new();
        let mut todo = vec![root.to_owned()];
        while let Some(directory) = todo.pop() {
            let Ok(metadata) = directory.metadata() else { continue };
            ids.insert(metadata.ino());
            let entries = std::fs::read_dir(&directory).into_iter().flatten().flatten();
            todo.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
        Self { root: root.to_owned(), ids, read: Instant::now() }
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
        Ok(Self { targets: targets.clone(), cgroup, tree })
    }

    /// Is this process meant? A process that is gone is not.
    pub fn wants(&self, pid: u32) -> bool {
        match &self.targets {
            Targets::Pids(pids) => pids.contains(&pid),
            // Only the command itself, added by name, and its children, followed in the kernel.
            Targets::Command(_) => false,
            Targets::Comm(glob) => process::comm(pid).is_ok_and(|comm| glob.is_match(comm)),
            Targets::Exe(glob) => process::exe(pid).is_ok_and(|exe| glob.is_match(exe)),
            Targets::AllGo => !matches!(
                goruntime::find(pid),
                Err(NotRead::NotGo | NotRead::Vanished | NotRead::NotPermitted | NotRead::Io(_))
            ),
            Targets::Cgroup(_) => self.in_cgroup(pid),
        }
    }

    /// Is the process that execed (or was forked) meant? What the record itself says counts, so that processes shorter
    /// than a look at /proc are judged too. `None`: it ended before that could be told.
    pub fn judge(&mut self, event: &TaskEvent) -> Option<bool> {
        let pid = event.meta.tgid;
        match &self.targets {
            Targets::Comm(glob) => Some(glob.is_match(event.comm_text())),
            Targets::Cgroup(_) => Some(self.cgroup_ids(event)),
            Targets::Exe(glob) => match process::exe(pid) {
                Ok(exe) => Some(glob.is_match(exe)),
                Err(ProcError::Vanished { .. }) => None,
                Err(_) => Some(false),
            },
            Targets::AllGo => match goruntime::find(pid) {
                Ok(_) | Err(NotRead::Refused(_)) => Some(true),
                Err(NotRead::Vanished) => None,
                Err(_) => Some(false),
            },
            Targets::Pids(_) | Targets::Command(_) => Some(false),
        }
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
    pub fn scan(&self) -> Vec<u32> {
        match &self.targets {
            Targets::Pids(pids) => pids.clone(),
            Targets::Command(_) => Vec::new(),
            _ => procfs::pids().map(|all| all.filter(|pid| self.wants(*pid)).collect()).unwrap_or_default(),
        }
    }

    fn in_cgroup(&self, pid: u32) -> bool {
        let Some((wanted, controllers)) = &self.cgroup else { return false };
        let Ok(memberships) = cgroup::read_memberships(pid) else { return false };
        let same = |m: &cgroup::Membership| match controllers.as_slice() {
            [] => m.is_v2(),
            v1 => m.controllers.iter().any(|c| v1.contains(c)),
        };
        memberships.iter().any(|m| same(m) && Path::new(&m.path).starts_with(wanted))
    }
}
