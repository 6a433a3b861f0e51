//! Names for a pod's uid and a container's id, from the log files that the kubelet keeps on the node.
use super::identity::Identity;
use std::fs;
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub namespace: Option<String>,
    pub pod: Option<String>,
    pub container: Option<String>,
}

impl Names {
    /// By the node's files: below our own root, else below that of the host's first process.
    pub fn on_node(identity: &Identity) -> Option<Names> {
        ["/", "/proc/1/root"].into_iter().find_map(|root| Names::find(Path::new(root), identity))
    }

    /// `root`: where the node's file system begins. `None`: no such pod there.
    pub fn find(root: &Path, identity: &Identity) -> Option<Names> {
        let of_container = identity.container_id.as_ref().and_then(|id| container(root, id));
        of_container.or_else(|| identity.pod_uid.as_ref().and_then(|uid| pod(root, uid)))
    }
}

/// `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`.
fn container(root: &Path, id: &str) -> Option<Names> {
    let end = format!("-{id}.log");
    let name = entries(&root.join("var/log/containers")).find(|name| name.ends_with(&end))?;
    let mut parts = name.strip_suffix(&end)?.splitn(3, '_').map(str::to_owned);
    let (pod, namespace, container) = (parts.next(), parts.next(), parts.next());
    container.is_some().then_some(Names { namespace, pod, container })
}

/// `/var/log/pods/<namespace>_<pod>_<uid>/<container>`; the container only where it is alone.
fn pod(root: &Path, uid: &str) -> Option<Names> {
    let logs = root.join("var/log/pods");
    let end = format!("_{uid}");
    let directory = entries(&logs).find(|name| name.ends_with(&end))?;
    let (namespace, pod) = directory.strip_suffix(&end)?.split_once('_')?;
    let (namespace, pod) = (Some(namespace.to_owned()), Some(pod.to_owned()));
    let mut containers = entries(&logs.join(&directory));
    let container = containers.next().filter(|_| containers.next().is_none());
    Some(Names { namespace, pod, container })
}

fn entries(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_containers_log_else_from_the_pods() {
        let root = tempfile::tempdir().unwrap();
        let pods = root.path().join("var/log/pods");
        let links = root.path().join("var/log/containers");
        fs::create_dir_all(pods.join("shop_web-5d9_uid-1/app")).unwrap();
        fs::create_dir_all(pods.join("shop_two_uid-2/app")).unwrap();
        fs::create_dir_all(pods.join("shop_two_uid-2/side")).unwrap();
        fs::create_dir_all(&links).unwrap();
        // A link whose target is not there still has its name.
        std::os::unix::fs::symlink("/gone", links.join("web-5d9_shop_app-abc.log")).unwrap();
        let find = |container: Option<&str>, pod: Option<&str>| {
            let (container_id, pod_uid) = (container.map(str::to_owned), pod.map(str::to_owned));
            Names::find(root.path(), &Identity { container_id, pod_uid, ..Identity::default() })
        };
        let names = |pod: &str, container: Option<&str>| {
            let [namespace, pod] = ["shop", pod].map(|name| Some(name.to_owned()));
            Some(Names { namespace, pod, container: container.map(str::to_owned) })
        };
        assert_eq!(find(Some("abc"), None), names("web-5d9", Some("app")));
        assert_eq!(find(Some("unknown"), Some("uid-1")), names("web-5d9", Some("app")));
        assert_eq!(find(None, Some("uid-2")), names("two", None), "two containers: which one is not said");
        assert_eq!(find(Some("bc"), Some("uid-3")), None);
        assert_eq!(find(None, None), None);
    }
}
