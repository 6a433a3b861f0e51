//! What deaths are counted by: a name that stays the same when a container is made again. Pure.
use super::kubelet::Names;

/// The shortest run of hexadecimal digits that is an id rather than a word.
const ID: usize = 12;
/// Lengths of the parts of a uid.
const UID: [usize; 5] = [8, 4, 4, 4, 12];
/// What Kubernetes makes random endings of: no vowels, no digits like letters.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";

/// What a name was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadBy {
    /// Namespace, name without random endings, container.
    Kubernetes,
    /// The path in the hierarchy, ids and numbers left out.
    Cgroup,
    Exe,
}

impl WorkloadBy {
    pub const ALL: &[WorkloadBy] = &[WorkloadBy::Kubernetes, WorkloadBy::Cgroup, WorkloadBy::Exe];

    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            WorkloadBy::Kubernetes => "kubernetes",
            WorkloadBy::Cgroup => "cgroup",
            WorkloadBy::Exe => "exe",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    pub by: WorkloadBy,
    pub name: String,
    /// Of this very pod, by Kubernetes. `None`: by another, or told by a memtrace before.
    pub names: Option<Names>,
}

impl Workload {
    /// `place`: inside the hierarchy. `None`: the root, which says nothing.
    pub fn of(place: &str, names: Option<&Names>) -> Option<Workload> {
        if let Some(own @ Names { namespace: Some(namespace), pod: Some(pod), container }) = names {
            let container = container.as_ref().map_or(String::new(), |container| format!("/{container}"));
            let name = format!("{namespace}/{}{container}", without_random(pod));
            return Some(Workload { by: WorkloadBy::Kubernetes, name, names: Some(own.clone()) });
        }
        let parts: Vec<String> = place.split('/').filter(|part| !part.is_empty()).map(without_ids).collect();
        let name = || format!("/{}", parts.join("/"));
        (!parts.is_empty()).then(|| Workload { by: WorkloadBy::Cgroup, name: name(), names: None })
    }
}

/// `web-5d9c7b6f4-x2x7q` of a deployment, `log-x2x7q` of a daemon set; the number of a stateful set stays.
fn without_random(pod: &str) -> &str {
    let is_random = |end: &str| end.chars().all(|c| RANDOM.contains(c));
    let Some((rest, _)) = pod.rsplit_once('-').filter(|(_, end)| end.len() == 5 && is_random(end)) else { return pod };
    let hash = |end: &str| (6..=10).contains(&end.len()) && is_random(end);
    rest.rsplit_once('-').filter(|(_, end)| hash(end)).map_or(rest, |(name, _)| name)
}

/// Uids, ids and numbers become `*`; the number of a user stays.
fn without_ids(part: &str) -> String {
    if part.starts_with("user-") || part.starts_with("user@") {
        return part.to_owned();
    }
    let mut rest = part;
    let mut name = String::new();
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let taken = match &rest[..run] {
            _ if uid(rest) > 0 => uid(rest),
            id if !id.is_empty() && is_id(id) => run,
            _ => 0,
        };
        if taken > 0 {
            name.push('*');
            rest = &rest[taken..];
        } else {
            let taken = run.max(first.len_utf8());
            name.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    name
}

fn is_id(run: &str) -> bool {
    let is_hex = run.len() >= ID && run.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    is_hex || run.chars().all(|c| c.is_ascii_digit())
}

/// Bytes of the uid that a text begins with, `pod` before it; the systemd driver writes `_` for `-`.
fn uid(text: &str) -> usize {
    let bare = text.strip_prefix("pod").unwrap_or(text);
    let length = UID.iter().sum::<usize>() + UID.len() - 1;
    let is_uid = bare.get(..length).is_some_and(|uid| {
        let parts = uid.split(['-', '_']);
        parts.clone().map(str::len).eq(UID) && parts.flat_map(str::chars).all(|c| c.is_ascii_hexdigit())
    });
    if is_uid { text.len() - bare.len() + length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_made_again_has_the_same_name() {
        let id = "0123456789abcdef".repeat(4);
        let uid = "7d8f3a0c-1b2c-4d5e-8f90-a1b2c3d4e5f6";
        let escaped = uid.replace('-', "_");
        for (place, name) in [
            (format!("/kubepods/burstable/pod{uid}/{id}"), "/kubepods/burstable/*/*"),
            (
                format!("/kubepods.slice/kubepods-pod{escaped}.slice/cri-containerd-{id}.scope"),
                "/kubepods.slice/kubepods-*.slice/cri-containerd-*.scope",
            ),
            (format!("/docker/{id}"), "/docker/*"),
            ("/system.slice/nginx.service".to_owned(), "/system.slice/nginx.service"),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), "/user.slice/user-1000.slice/session-*.scope"),
            ("/decade/abc/é".to_owned(), "/decade/abc/é"),
        ] {
            let workload = Workload::of(&place, None).unwrap();
            assert_eq!((workload.by, workload.name.as_str()), (WorkloadBy::Cgroup, name), "{place}");
        }
        assert_eq!(Workload::of("/", None), None);
    }

    #[test]
    fn a_pod_is_known_by_what_made_it() {
        for (pod, name) in [
            ("web-5d9c7b6f4-x2x7q", "shop/web/app"),
            ("log-x2x7q", "shop/log/app"),
            ("db-0", "shop/db-0/app"),
            ("api-server", "shop/api-server/app"),
            ("x", "shop/x/app"),
        ] {
            let some = |text: &str| Some(text.to_owned());
            let names = Names { namespace: some("shop"), pod: some(pod), container: some("app") };
            let workload = Workload::of("/docker/1", Some(&names)).unwrap();
            assert_eq!((workload.by, workload.name.as_str()), (WorkloadBy::Kubernetes, name));
            assert_eq!(workload.names, Some(names));
        }
    }
}
