//! Whose a cgroup is, from its path: the names that kubelet, container runtimes and systemd give. Pure.

/// What a path says; `None`: nothing of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub runtime: Option<&'static str>,
    pub container_id: Option<String>,
    pub pod_uid: Option<String>,
    /// `guaranteed`, `burstable`, `besteffort`.
    pub qos: Option<&'static str>,
    /// The innermost unit of systemd that is not a container's own.
    pub unit: Option<String>,
}

/// Prefixes of a container's cgroup, and who gives them.
const PREFIXES: &[(&str, &str)] = &[
    ("cri-containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("docker-", "docker"),
    ("crio-", "cri-o"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
    ("lxc.payload.", "lxc"),
];

/// Directories whose children are containers, and who makes them.
const PARENTS: &[(&str, &str)] =
    &[("docker", "docker"), ("libpod_parent", "podman"), ("lxc", "lxc"), ("k8s.io", "containerd")];

impl Identity {
    /// `path`: inside the hierarchy, as /proc/PID/cgroup says it. The innermost container counts.
    pub fn of(path: &str) -> Identity {
        let mut identity = Identity::default();
        let mut parent = "";
        for name in path.split('/').filter(|name| !name.is_empty()) {
            identity.component(parent, name);
            parent = name;
        }
        if identity.container_id.is_none() && identity.unit.is_some() && identity.pod_uid.is_none() {
            identity.runtime = Some("systemd");
        }
        identity
    }

    /// From inside a cgroup namespace the path says nothing, but what is mounted does: the files that runtimes and the
    /// kubelet put into each container. Pairs of what is mounted, and where.
    pub fn of_mounts<'a>(mounts: impl Iterator<Item = (&'a str, &'a str)>) -> Identity {
        const PUT: [&str; 4] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log"];
        let mut identity = Identity::default();
        for (root, _) in mounts.filter(|(_, point)| PUT.contains(point)) {
            let names: Vec<&str> = root.split('/').collect();
            for pair in names.windows(2) {
                match pair {
                    ["pods", uid] => identity.pod_uid = pod_uid(uid).or(identity.pod_uid),
                    // A pod's sandbox has such files too, and is not the container.
                    ["containers", id] if is_id(id) && names.contains(&"docker") => {
                        (identity.container_id, identity.runtime) = (Some((*id).to_owned()), Some("docker"));
                    }
                    _ => {}
                }
            }
        }
        identity
    }

    /// Something was recognised.
    pub fn is_known(&self) -> bool {
        *self != Identity::default()
    }

    fn component(&mut self, parent: &str, name: &str) {
        // A path for the systemd driver that the cgroupfs driver took as it was.
        if let [slice, prefix, id] = name.split(':').collect::<Vec<_>>()[..] {
            self.component(parent, slice);
            return self.component(slice, &format!("{prefix}-{id}"));
        }
        let (stem, kind) = unit(name);
        if stem.starts_with("kubepods") || stem.contains("-kubepods") {
            let class = ["besteffort", "burstable"].into_iter().find(|class| stem.contains(class));
            self.qos = class.or(Some("guaranteed"));
        } else if self.qos == Some("guaranteed") && parent.starts_with("kubepods") {
            self.qos = ["besteffort", "burstable"].into_iter().find(|class| *class == name).or(self.qos);
        }
        if let Some(uid) = pod(stem, kind) {
            (self.pod_uid, self.container_id, self.runtime) = (Some(uid), None, None);
        } else if let Some((id, runtime)) = container(parent, name, stem) {
            (self.container_id, self.runtime, self.unit) = (Some(id), runtime, None);
        } else if let Some(kind) = kind
            && !(kind == "slice" && stem.contains("kubepods"))
        {
            self.unit = Some(format!("{stem}.{kind}"));
        }
    }
}

/// A unit's name without its kind.
fn unit(name: &str) -> (&str, Option<&'static str>) {
    let kinds = ["slice", "scope", "service"].into_iter();
    let found = kinds.filter_map(|kind| Some((name.strip_suffix(kind)?.strip_suffix('.')?, Some(kind)))).next();
    found.unwrap_or((name, None))
}

/// `pod<uid>` of the cgroupfs driver, `…-pod<uid with _>.slice` of the systemd driver.
fn pod(stem: &str, kind: Option<&str>) -> Option<String> {
    let uid = match kind {
        None => stem.strip_prefix("pod")?.to_owned(),
        Some("slice") => stem.rsplit_once("-pod").map(|(_, uid)| uid)?.replace('_', "-"),
        _ => return None,
    };
    pod_uid(&uid)
}

fn pod_uid(uid: &str) -> Option<String> {
    // A static pod's is a hash, without dashes.
    let is_uid = uid.len() == 36 && uid.split('-').map(str::len).eq([8, 4, 4, 4, 12]) || uid.len() == 32;
    (is_uid && uid.chars().all(|c| c == '-' || is_hex(c))).then(|| uid.to_owned())
}

/// The container's id, and whose it is where the names say so.
fn container(parent: &str, name: &str, stem: &str) -> Option<(String, Option<&'static str>)> {
    // What watches a container is not the container.
    if stem.contains("-conmon-") || stem.contains("crio-conmon") {
        return None;
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = stem.strip_prefix(prefix)
            && (is_id(id) || *runtime == "lxc" && !id.is_empty())
        {
            return Some((id.to_owned(), Some(runtime)));
        }
    }
    let of_parent = PARENTS.iter().find(|(known, _)| *known == parent).map(|(_, runtime)| *runtime);
    let is_named = matches!(of_parent, Some("lxc" | "containerd"));
    (is_id(name) || is_named).then(|| (name.to_owned(), of_parent))
}

/// 64 hexadecimal digits; Fargate's are 32 and a number.
fn is_id(text: &str) -> bool {
    let hex = |text: &str, digits| text.len() == digits && text.chars().all(is_hex);
    let fargate = text.split_once('-').is_some_and(|(id, number)| {
        hex(id, 32) && (6..=12).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit())
    });
    hex(text, 64) || fargate
}

fn is_hex(c: char) -> bool {
    matches!(c, '0'..='9' | 'a'..='f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const OTHER: &str = "f123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "7d8f3a0c-1b2c-4d5e-8f90-a1b2c3d4e5f6";
    const HASH: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn every_way_to_name_a_container_is_known() {
        let escaped = UID.replace('-', "_");
        let cases = [
            (format!("/kubepods/burstable/pod{UID}/{ID}"), None, Some(UID), Some("burstable")),
            (format!("/kubepods/besteffort/pod{UID}/{ID}"), None, Some(UID), Some("besteffort")),
            (format!("/kubepods/pod{UID}/{ID}"), None, Some(UID), Some("guaranteed")),
            (format!("/kubepods/pod{HASH}/crio-{ID}"), Some("cri-o"), Some(HASH), Some("guaranteed")),
            (
                format!(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{escaped}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                Some(UID),
                Some("burstable"),
            ),
            (
                format!("/kubepods.slice/kubepods-pod{escaped}.slice/crio-{ID}.scope/container"),
                Some("cri-o"),
                Some(UID),
                Some("guaranteed"),
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{escaped}.slice/docker-{ID}.scope"
                ),
                Some("docker"),
                Some(UID),
                Some("besteffort"),
            ),
            (
                format!("/system.slice/containerd.service/kubepods-burstable-pod{escaped}.slice:cri-containerd:{ID}"),
                Some("containerd"),
                Some(UID),
                Some("burstable"),
            ),
            (
                format!(
                    "/docker/{OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{escaped}.slice/cri-containerd-{ID}.scope"
                ),
                Some("containerd"),
                Some(UID),
                Some("burstable"),
            ),
            (format!("/docker/{ID}"), Some("docker"), None, None),
            (format!("/docker/{ID}/init.scope"), Some("docker"), None, None),
            (format!("/system.slice/docker-{ID}.scope"), Some("docker"), None, None),
            (format!("/machine.slice/libpod-{ID}.scope/container"), Some("podman"), None, None),
            (format!("/libpod_parent/libpod-{ID}"), Some("podman"), None, None),
            (
                format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
                Some("podman"),
                None,
                None,
            ),
            (format!("/actions_job/{ID}"), None, None, None),
        ];
        for (path, runtime, uid, qos) in cases {
            let identity = Identity::of(&path);
            assert_eq!(identity.container_id.as_deref(), Some(ID), "{path}");
            assert_eq!((identity.runtime, identity.pod_uid.as_deref(), identity.qos), (runtime, uid, qos), "{path}");
        }
        assert_eq!(Identity::of("/lxc.payload.web/system.slice").container_id.as_deref(), Some("web"));
        let fargate = format!("{HASH}-1234567890");
        assert_eq!(Identity::of(&format!("/ecs/{HASH}/{fargate}")).container_id, Some(fargate));
    }

    #[test]
    fn from_inside_the_mounts_tell() {
        let docker = format!("/var/lib/docker/containers/{ID}/hosts");
        let pod = format!("/var/lib/kubelet/pods/{UID}/etc-hosts");
        let of = |root: &str, point| Identity::of_mounts([(root, point)].into_iter());
        let identity = of(&docker, "/etc/hosts");
        assert_eq!((identity.container_id.as_deref(), identity.runtime), (Some(ID), Some("docker")));
        assert_eq!(of(&pod, "/etc/hosts").pod_uid.as_deref(), Some(UID));
        assert!(!of(&docker, "/data").is_known(), "mounted by somebody else");
    }

    #[test]
    fn units_of_systemd_are_no_containers() {
        for (path, unit) in [
            ("/system.slice/nginx.service", "nginx.service"),
            ("/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
            ("/user.slice", "user.slice"),
        ] {
            let identity = Identity::of(path);
            assert_eq!((identity.runtime, identity.unit.as_deref()), (Some("systemd"), Some(unit)), "{path}");
            assert_eq!((identity.container_id, identity.pod_uid), (None, None), "{path}");
        }
        let monitor = Identity::of(&format!("/machine.slice/libpod-conmon-{ID}.scope"));
        assert_eq!((monitor.container_id, monitor.runtime), (None, Some("systemd")));
    }

    #[test]
    fn a_pods_own_cgroup_is_no_container_and_strangers_are_unknown() {
        let pod = Identity::of(&format!("/kubepods/burstable/pod{UID}"));
        assert_eq!((pod.pod_uid.as_deref(), pod.container_id, pod.runtime), (Some(UID), None, None));
        for path in ["", "/", "/../..", "/process_api/317de93e325fa4cb27499bd9cf11adf3", "/podium", "/pod123", "/a.b/c"]
        {
            assert!(!Identity::of(path).is_known(), "{path}");
        }
    }
}
