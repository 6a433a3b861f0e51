//! Whether the rules of the configuration are against a process, by what /proc and the kubelet's files say of it now.
use crate::cgroup;
use crate::config::file::{Targets, Trait};
use crate::host::mounts::CgroupFacts;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::process;

#[derive(Debug)]
pub(super) struct Rules {
    rules: Targets,
    facts: CgroupFacts,
}

impl Rules {
    pub(super) fn new(facts: CgroupFacts) -> Rules {
        Rules { rules: Targets::default(), facts }
    }

    /// True: they are others than before.
    pub(super) fn set(&mut self, rules: Targets) -> bool {
        let is_new = self.rules != rules;
        self.rules = rules;
        is_new
    }

    /// What cannot be read fits nothing.
    pub(super) fn admit(&self, pid: u32) -> bool {
        self.rules.is_empty() || self.rules.admit(|of| self.texts(pid, of))
    }

    fn texts(&self, pid: u32, of: Trait) -> Vec<String> {
        let exe = || Some(process::exe(pid).ok()?.to_string_lossy().into_owned());
        match of {
            Trait::Exe => exe().into_iter().collect(),
            Trait::Comm => process::comm(pid).into_iter().collect(),
            Trait::Cgroup => read_memberships(pid).into_iter().flatten().map(|membership| membership.path).collect(),
            Trait::Namespace | Trait::Pod | Trait::Container => {
                let own = read_memberships(pid).ok().and_then(|of| self.facts.memory_directory(&of));
                let names = own.and_then(|own| cgroup::names_of(&own, &self.facts)).and_then(|(_, names)| names);
                let Some(names) = names else { return Vec::new() };
                let name = match of {
                    Trait::Namespace => names.namespace,
                    Trait::Pod => names.pod,
                    _ => names.container,
                };
                name.into_iter().collect()
            }
        }
    }
}
