//! A memory cgroup, of the version that this kernel accounts memory by, that is removed when its test is over.
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where the hierarchy is, and what its files are called.
#[derive(Clone, Copy, Debug)]
struct Version {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
}

const V1: Version =
    Version { root: "/sys/fs/cgroup/memory", limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes" };
const V2: Version = Version { root: "/sys/fs/cgroup", limit: "memory.max", usage: "memory.current" };

#[derive(Debug)]
pub struct MemoryCgroup {
    version: Version,
    path: PathBuf,
}

impl MemoryCgroup {
    #[track_caller]
    pub fn new(name: &str, limit_bytes: u64) -> Self {
        let version = if Path::new(V1.root).exists() { V1 } else { V2 };
        let path = Path::new(version.root).join(format!("memtrace-test-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let group = Self { version, path };
        group.write(group.version.limit, &limit_bytes.to_string());
        group
    }

    /// One below it, without a limit of its own; drop it first.
    #[track_caller]
    pub fn below(&self, name: &str) -> Self {
        if self.version.root == V2.root {
            self.write("cgroup.subtree_control", "+memory");
        }
        let path = self.path.join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { version: self.version, path }
    }

    /// Does something as one of its processes: what that is charged for stays here when this process has left again.
    #[track_caller]
    pub fn inside<T>(&self, work: impl FnOnce() -> T) -> T {
        let text = fs::read_to_string("/proc/self/cgroup").expect("own cgroups");
        let place =
            text.lines().find_map(|line| line.split_once(":memory:").or(line.split_once("0::"))).expect("one").1;
        let _back = Back(Path::new(self.version.root).join(place.trim_start_matches('/')));
        self.add(std::process::id());
        work()
    }

    /// Whether memory is accounted by version 1.
    pub fn is_version_1(&self) -> bool {
        self.version.root == V1.root
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's id of it: the inode of its directory.
    pub fn id(&self) -> u64 {
        fs::metadata(&self.path).expect("the cgroup is there").ino()
    }

    /// Moves a process; what it has been charged for so far stays where it was.
    #[track_caller]
    pub fn add(&self, pid: u32) {
        self.write("cgroup.procs", &pid.to_string());
    }

    /// Version 2: out of memory, it is killed as a whole.
    #[track_caller]
    pub fn kill_as_a_group(&self) {
        self.write("memory.oom.group", "1");
    }

    #[track_caller]
    pub fn usage_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.version.usage)).expect("usage");
        text.trim().parse().expect("a number")
    }

    /// Version 2: a count of memory.events.
    #[track_caller]
    pub fn event(&self, name: &str) -> u64 {
        let text = fs::read_to_string(self.path.join("memory.events")).expect("memory.events");
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
    }

    #[track_caller]
    fn write(&self, file: &str, value: &str) {
        let path = self.path.join(file);
        fs::write(&path, value).unwrap_or_else(|error| panic!("{} = {value}: {error}", path.display()));
    }
}

/// Where this process belongs.
struct Back(PathBuf);

impl Drop for Back {
    fn drop(&mut self) {
        let moved = fs::write(self.0.join("cgroup.procs"), std::process::id().to_string());
        moved.unwrap_or_else(|error| eprintln!("cannot go back to {}: {error}", self.0.display()));
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // The last process may still be on its way out: what is left moves to the root, and the directory goes.
        let deadline = crate::Deadline::after(std::time::Duration::from_secs(10));
        while let Err(error) = fs::remove_dir(&self.path) {
            for pid in fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines() {
                let _ = fs::write(Path::new(self.version.root).join("cgroup.procs"), pid);
            }
            if deadline.left().is_zero() {
                eprintln!("{} stays behind: {error}", self.path.display());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
