//! `/proc/PID/cgroup`: which cgroups a process is in, see cgroups(7).
use super::ProcError;
use super::kept::Kept;

/// One line: a process's place in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// 0 is the v2 hierarchy.
    pub hierarchy: u32,
    /// v1 controllers of this hierarchy; empty for v2.
    pub controllers: Vec<String>,
    /// From the root of the reader's cgroup namespace. Of a zombie v1 says `/`, whatever it was.
    pub path: String,
}

impl Membership {
    pub fn is_v2(&self) -> bool {
        self.hierarchy == 0 && self.controllers.is_empty()
    }

    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// Lines that are none are left out.
pub fn parse_memberships(text: &str) -> Vec<Membership> {
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let hierarchy = parts.next()?.parse().ok()?;
        let controllers = parts.next()?.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
        Some(Membership { hierarchy, controllers, path: parts.next()?.to_owned() })
    };
    text.lines().filter_map(parse).collect()
}

pub fn read_memberships(pid: u32) -> Result<Vec<Membership>, ProcError> {
    Kept::new(pid).memberships()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read() {
        let text = "9:name=systemd:/\n5:cpu,cpuacct:/x\n4:memory:/process_api/a:b\n0::/user.slice\nrubbish\n";
        let all = parse_memberships(text);
        assert_eq!(all.len(), 4);
        assert!(all[1].has("cpuacct") && !all[1].has("memory"));
        assert_eq!(all[2].path, "/process_api/a:b");
        assert!(all[3].is_v2() && !all[0].is_v2());
    }

    #[test]
    fn this_process_is_somewhere() {
        assert!(read_memberships(std::process::id()).is_ok());
    }
}
