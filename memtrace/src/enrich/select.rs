//! Which processes are meant.
use crate::config::Targets;
use crate::goruntime::{self, NotRead};
use crate::host::facts::Facts;
use crate::procfs::{self, cgroup, process};
use std::path::Path;

/// Decides for one process at a time, from what /proc says of it now.
#[derive(Clone, Debug)]
pub struct Selector {
    targets: Targets,
    /// The cgroup's path inside its hierarchy, with that hierarchy's v1 controllers (empty: v2).
    cgroup: Option<(String, Vec<String>)>,
}

impl Selector {
    /// Fails when a cgroup is named that is none.
    pub fn new(targets: &Targets, facts: &Facts) -> Result<Self, String> {
        let cgroup = match targets {
            Targets::Cgroup(path) => {
                let path = path.canonicalize().map_err(|e| format!("{}: {e}", path.display()))?;
                let inside = facts.cgroup.inside(&path);
                Some(inside.ok_or_else(|| format!("{} is not a cgroup directory", path.display()))?)
            }
            _ => None,
        };
        Ok(Self { targets: targets.clone(), cgroup })
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
