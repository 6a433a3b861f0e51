//! Where memory is accounted: `/proc/self/mountinfo` and `/proc/self/cgroup`, see proc_pid_mountinfo(5), cgroups(7).
use crate::procfs::cgroup::Membership;
use std::path::{Component, Path, PathBuf};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number.
    pub device: (u32, u32),
    /// The part of the filesystem that is mounted.
    pub root: String,
    pub point: PathBuf,
    pub kind: String,
    /// Options of the filesystem: for cgroup v1 its controllers.
    pub options: Vec<String>,
}

/// Lines that are none are left out.
pub fn parse_mountinfo(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(2);
        let (major, minor) = left.next()?.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let kind = right.next()?.to_owned();
        let options = right.nth(1).unwrap_or_default().split(',').map(str::to_owned).collect();
        Some(Mount { device, root, point: PathBuf::from(point), kind, options })
    };
    text.lines().filter_map(parse).collect()
}

/// What a process sees mounted; nothing when it is gone.
pub fn read_mounts(pid: u32) -> Vec<Mount> {
    let text = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    parse_mountinfo(&String::from_utf8_lossy(&text))
}

/// Devices of the tmpfs mounts that a process sees.
pub fn read_tmpfs_devices(pid: u32) -> Vec<(u32, u32)> {
    read_mounts(pid).iter().filter(|m| m.kind == "tmpfs").map(|m| m.device).collect()
}

/// `\040` and its like, three octal digits.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        match octal {
            Some(byte) if *first == b'\\' => {
                out.push(byte);
                rest = &tail[3..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Which hierarchies are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupVersion {
    #[default]
    None,
    V1,
    V2,
    /// Both; memory may be in either.
    Hybrid,
}

impl CgroupVersion {
    pub fn as_str(self) -> &'static str {
        match self {
            CgroupVersion::None => "none",
            CgroupVersion::V1 => "v1",
            CgroupVersion::V2 => "v2",
            CgroupVersion::Hybrid => "hybrid",
        }
    }
}

/// Where memory is accounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupFacts {
    pub version: CgroupVersion,
    /// 1 or 2: the hierarchy that has the memory controller.
    pub memory_version: Option<u8>,
    /// Mount point of that hierarchy.
    pub memory_path: Option<PathBuf>,
    /// Directory of memtrace's own cgroup in it.
    pub own_path: Option<PathBuf>,
    /// Every cgroup mount.
    pub mounts: Vec<Mount>,
    /// In that hierarchy, mounted from outside: the directory that our cgroup namespace calls `/`.
    pub namespace_root: Option<PathBuf>,
}

impl CgroupFacts {
    /// Directory of the cgroup that a process's memory is charged to; `None`: no memory controller, or out of our sight.
    pub fn memory_directory(&self, memberships: &[Membership]) -> Option<PathBuf> {
        self.memory_directory_at(self.memory_place(memberships)?)
    }

    /// Where a process is in the hierarchy that has the memory controller.
    pub fn memory_place<'a>(&self, memberships: &'a [Membership]) -> Option<&'a str> {
        let version = self.memory_version?;
        let place = memberships.iter().find(|m| if version == 1 { m.has("memory") } else { m.is_v2() })?;
        Some(&place.path)
    }

    /// Directory of a place in that hierarchy, whether it is there or not.
    pub fn memory_directory_at(&self, place: &str) -> Option<PathBuf> {
        let point = self.memory_path.as_ref()?;
        match &self.namespace_root {
            Some(root) => from_above(point, root, place),
            None => directory(self.mounts.iter().find(|m| m.point == *point)?, place),
        }
    }

    /// A cgroup's directory as /proc/PID/cgroup names it: the path in its hierarchy, and the hierarchy's controllers
    /// (empty: v2). `None`: not below any cgroup mount.
    pub fn inside(&self, directory: &Path) -> Option<(String, Vec<String>)> {
        let mount =
            self.mounts.iter().filter(|m| directory.starts_with(&m.point)).max_by_key(|m| m.point.as_os_str().len())?;
        let below = directory.strip_prefix(&mount.point).ok()?;
        // From above our cgroup namespace the path is told as the host tells it.
        let path = Path::new(&mount.root).join(below);
        let path = if self.namespace_root.is_some() && is_above(&path) { Path::new("/").join(below) } else { path };
        let controllers = if mount.kind == "cgroup2" { Vec::new() } else { mount.options.clone() };
        Some((path.display().to_string(), controllers))
    }
}

/// `v2_controllers`: text of `cgroup.controllers` at the root of the v2 mount, if there is one. `find`: in which cgroup below
/// a mount point the process is; asked of mounts that were made outside its cgroup namespace.
pub fn cgroup_facts(
    mounts: &[Mount],
    memberships: &[Membership],
    v2_controllers: Option<&str>,
    find: &dyn Fn(&Path) -> Option<PathBuf>,
) -> CgroupFacts {
    let is_hidden = |at: usize| mounts[at + 1..].iter().any(|later| later.point == mounts[at].point);
    let mounts: Vec<&Mount> = (0..mounts.len()).filter(|at| !is_hidden(*at)).map(|at| &mounts[at]).collect();
    let v1_any = mounts.iter().any(|m| m.kind == "cgroup");
    let has_v2 = mounts.iter().any(|m| m.kind == "cgroup2");
    let version = match (v1_any, has_v2) {
        (false, false) => CgroupVersion::None,
        (true, false) => CgroupVersion::V1,
        (false, true) => CgroupVersion::V2,
        (true, true) => CgroupVersion::Hybrid,
    };
    let v1_has_memory = |m: &Mount| m.kind == "cgroup" && m.options.iter().any(|o| o == "memory");
    let v2_has_memory = v2_controllers.is_some_and(|text| text.split_whitespace().any(|c| c == "memory"));
    let memory_version = match () {
        () if mounts.iter().any(|m| v1_has_memory(m)) => Some(1),
        () if has_v2 && v2_has_memory => Some(2),
        () => None,
    };
    let is_memory = |m: &&Mount| if memory_version == Some(1) { v1_has_memory(m) } else { m.kind == "cgroup2" };
    let of_memory = || mounts.iter().copied().filter(is_memory);
    let place = memberships.iter().find(|m| if memory_version == Some(1) { m.has("memory") } else { m.is_v2() });
    // Rather one that shows our neighbours too; without a name in it, one that was mounted inside our cgroup namespace.
    let from_outside = of_memory().filter(|m| is_above(Path::new(&m.root))).find_map(|m| {
        let inside = Path::new(&place?.path).strip_prefix("/").ok()?;
        let own = find(&m.point)?;
        let root = own.ancestors().nth(inside.components().count())?;
        (!is_above(inside) && own.ends_with(inside) && root.starts_with(&m.point)).then(|| (m, Some(root.to_owned())))
    });
    let chosen = from_outside.or_else(|| Some((of_memory().min_by_key(|m| is_above(Path::new(&m.root)))?, None)));
    let (mount, namespace_root) = chosen.filter(|_| memory_version.is_some()).unzip();
    let mut facts = CgroupFacts {
        version,
        memory_version,
        memory_path: mount.map(|mount| mount.point.clone()),
        own_path: None,
        mounts: mounts.iter().copied().filter(|m| m.kind.starts_with("cgroup")).cloned().collect(),
        namespace_root: namespace_root.flatten(),
    };
    facts.own_path = place.and_then(|place| facts.memory_directory_at(&place.path));
    facts
}

/// The directory of a cgroup by its path from the root of our cgroup namespace. `None`: above the mount.
fn from_above(point: &Path, root: &Path, path: &str) -> Option<PathBuf> {
    let mut at = root.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => at.push(name),
            _ => {}
        }
        if !at.starts_with(point) {
            return None;
        }
    }
    Some(at)
}

/// The directory of a cgroup: a container may mount only its own part. `None`: it is not below this mount, or below one made
/// outside our cgroup namespace (its root is `/..` and more), where nothing says how what is inside is called.
fn directory(mount: &Mount, path: &str) -> Option<PathBuf> {
    let root = Path::new(&mount.root);
    let inside = match Path::new(path).strip_prefix(root) {
        Ok(inside) => inside,
        Err(_) if is_above(root) => return None,
        Err(_) => Path::new(path),
    };
    // Component by component: joining "" would leave a slash at the end.
    let names = inside.strip_prefix("/").unwrap_or(inside);
    (!is_above(names)).then(|| mount.point.iter().chain(names).collect())
}

/// Leads out of our cgroup namespace.
fn is_above(path: &Path) -> bool {
    path.components().any(|c| c == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::procfs::cgroup::parse_memberships;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\nrubbish\n";
    const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn memory_is_found_in_either_version() {
        let members = parse_memberships("4:memory:/api/x\n0::/user.slice\n");
        let cases = [
            (
                HYBRID,
                Some("cpu"),
                "hybrid",
                Some(1),
                Some("/sys/fs/cgroup/memory"),
                Some("/sys/fs/cgroup/memory/api/x"),
            ),
            (UNIFIED, Some("cpu memory io"), "v2", Some(2), Some("/sys/fs/cgroup"), Some("/sys/fs/cgroup/user.slice")),
            (UNIFIED, Some("cpu io"), "v2", None, None, None),
            ("", None, "none", None, None, None),
        ];
        for (text, controllers, version, memory, path, own) in cases {
            let facts = cgroup_facts(&parse_mountinfo(text), &members, controllers, &|_| None);
            assert_eq!(facts.version.as_str(), version);
            assert_eq!(facts.memory_version, memory);
            assert_eq!(facts.memory_path.as_deref(), path.map(Path::new));
            assert_eq!(facts.own_path.as_deref(), own.map(Path::new));
        }
    }

    #[test]
    fn a_container_sees_its_own_part() {
        let mount = "9 1 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let members = parse_memberships("4:memory:/docker/abc/inner\n");
        let facts = cgroup_facts(&parse_mountinfo(mount), &members, None, &|_| None);
        assert_eq!(facts.own_path.as_deref(), Some(Path::new("/sys/fs/cgroup/memory/inner")));
    }

    #[test]
    fn a_mount_from_outside_the_namespace_names_only_what_is_outside() {
        let outer = "9 1 0:32 /../.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let members = |path: &str| parse_memberships(&format!("4:memory:{path}\n"));
        let facts = cgroup_facts(&parse_mountinfo(outer), &members("/"), None, &|_| None);
        let at = |path: &str| facts.memory_directory(&members(path)).map(|at| at.display().to_string());
        assert_eq!(facts.own_path, None, "it is two levels down, who knows where");
        assert_eq!((at("/a"), at("/.."), at("/../../../x")), (None, None, None));
        assert_eq!(at("/../..").as_deref(), Some("/sys/fs/cgroup/memory"));
        assert_eq!(at("/../../a/b").as_deref(), Some("/sys/fs/cgroup/memory/a/b"));
        let both = format!("{outer}10 1 0:32 / /mnt rw - cgroup none rw,memory\n");
        let facts = cgroup_facts(&parse_mountinfo(&both), &members("/"), None, &|_| None);
        assert_eq!(facts.own_path.as_deref(), Some(Path::new("/mnt")));
        assert_eq!(facts.memory_directory(&members("/..")), None);
        let over = format!("{outer}10 9 0:32 / /sys/fs/cgroup/memory rw - cgroup none rw,memory\n");
        let facts = cgroup_facts(&parse_mountinfo(&over), &members("/a"), None, &|_| None);
        assert_eq!(
            facts.own_path.as_deref(),
            Some(Path::new("/sys/fs/cgroup/memory/a")),
            "the later one hides the first"
        );
    }

    #[test]
    fn from_outside_the_namespace_neighbours_are_seen_once_our_own_place_is_found() {
        let outer = "9 1 0:32 /../../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let of = |inside: &str, own: &'static str| {
            let members = parse_memberships(&format!("0::{inside}\n"));
            cgroup_facts(&parse_mountinfo(outer), &members, Some("memory"), &move |_| Some(own.into()))
        };
        let facts = of("/init", "/sys/fs/cgroup/kube/pod/me/init");
        let at = |path: &str| facts.memory_directory_at(path).map(|at| at.display().to_string());
        assert_eq!(facts.own_path.as_deref(), Some(Path::new("/sys/fs/cgroup/kube/pod/me/init")));
        assert_eq!(at("/").as_deref(), Some("/sys/fs/cgroup/kube/pod/me"));
        assert_eq!(at("/../app/x").as_deref(), Some("/sys/fs/cgroup/kube/pod/app/x"));
        assert_eq!(at("/../../..").as_deref(), Some("/sys/fs/cgroup"));
        assert_eq!((at("/../../../.."), at("/../../../../fs/cgroup/kube")), (None, None));
        let inside = facts.inside(Path::new("/sys/fs/cgroup/kube/pod/app")).unwrap();
        assert_eq!(inside, ("/kube/pod/app".to_owned(), Vec::new()), "as the host calls it");
        assert_eq!(of("/other", "/sys/fs/cgroup/kube/pod/me").own_path, None, "that is not where it says it is");
        let both = format!("{outer}10 1 0:32 / /mnt rw - cgroup2 none rw\n");
        let members = parse_memberships("0::/\n");
        let facts = cgroup_facts(&parse_mountinfo(&both), &members, Some("memory"), &|at| Some(at.join("kube/pod/me")));
        assert_eq!(facts.memory_path.as_deref(), Some(Path::new("/sys/fs/cgroup")), "the one that shows more");
    }

    #[test]
    fn the_root_cgroup_is_the_mount_itself() {
        let facts = cgroup_facts(&parse_mountinfo(UNIFIED), &parse_memberships("0::/\n"), Some("memory"), &|_| None);
        assert_eq!(facts.own_path.map(|p| p.display().to_string()).as_deref(), Some("/sys/fs/cgroup"));
    }

    #[test]
    fn spaces_in_paths_are_escaped() {
        assert_eq!(unescape("/a\\040b\\134c\\9"), "/a b\\c\\9");
    }
}
