//! Facts of this host, as read; nothing here decides, and nothing needs more than the right to read.
use super::btf::{Btf, BtfError};
use super::catalog::{Hook, PROGRAMS, function_of};
use super::mounts::{CgroupFacts, Mount, cgroup_facts, parse_mountinfo, read_mounts};
use super::offsets::{Machine, page_tables_of};
use super::tracefs::{Tracefs, TracefsError};
use crate::cgroup::tree::Tree;
use crate::procfs::cgroup::read_memberships;
use crate::procfs::psi::{self, Pressure};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Inode numbers of the first PID and user namespace: include/linux/proc_ns.h.
const INITIAL_PID_NAMESPACE: u32 = 0xEFFF_FFFC;
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;
const UPROBES: &str = "/sys/bus/event_source/devices/uprobe/type";

/// Is something there, and may we read it?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    #[default]
    Absent,
    Denied,
    /// There, readable, and not understood: why.
    Broken(String),
    Readable,
}

/// /sys/kernel/mm/transparent_hugepage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thp {
    /// `always`, `madvise` or `never`.
    pub enabled: String,
    pub defrag: String,
    /// Empty pages khugepaged fills to make a huge one: how much it may re-inflate.
    pub max_ptes_none: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// As `uname -r` says.
    pub release: String,
    /// Major and minor number of the release.
    pub version: (u32, u32),
    /// As `uname -m` says.
    pub machine: String,
    pub btf: Access,
    pub tracefs: Access,
    pub tracefs_path: Option<PathBuf>,
    pub euid: u32,
    /// Effective capabilities, `CAP_…`, sorted.
    pub capabilities: Vec<String>,
    /// `none`, `integrity` or `confidentiality`; `None` without the lockdown module.
    pub lockdown: Option<String>,
    pub unprivileged_bpf_disabled: Option<i32>,
    /// `None`: a kernel without perf events.
    pub perf_event_paranoid: Option<i32>,
    /// Functions of processes can be hooked.
    pub uprobes: bool,
    pub cgroup: CgroupFacts,
    /// /proc/pressure/memory is there.
    pub psi: bool,
    /// What it says.
    pub memory_pressure: Option<Pressure>,
    pub thp: Option<Thp>,
    pub swap_total_bytes: Option<u64>,
    /// Highest possible CPU + 1.
    pub possible_cpus: u32,
    pub online_cpus: u32,
    pub page_bytes: u64,
    pub pids: Pids,
    pub initial_user_namespace: bool,
    /// `category:name` of the catalogue's tracepoints that exist here; `None` where tracefs cannot be read.
    pub tracepoints: Option<Vec<String>>,
    /// Why programs cannot be attached to the kernel's functions, as far as it shows; `None`: nothing speaks against it.
    pub no_functions: Option<String>,
    /// Names of the catalogue's raw tracepoints that exist here, by BTF; `None` without it.
    pub raw_tracepoints: Option<Vec<String>>,
}

/// Whose numbers /proc shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pids {
    /// Those of the initial namespace: every process of the host.
    Initial,
    /// Those of memtrace's own, which has this inode number: a pod's.
    Own(u32),
    /// Not those that memtrace itself is called by, or nobody's.
    #[default]
    Foreign,
}

impl Facts {
    /// Reads this host; BTF and tracefs are read by the caller, once.
    pub fn read(btf: &Result<Btf, BtfError>, tracefs: &Result<Tracefs, TracefsError>) -> Facts {
        let uname = rustix::system::uname();
        let release = read_release();
        let tracefs_path = tracefs.as_ref().ok().map(|t| t.root().to_path_buf());
        let raw = |b: &Btf| raw_names().filter(|n| b.has_raw_tracepoint(n)).map(str::to_owned).collect();
        Facts {
            version: parse_version(&release),
            release,
            machine: uname.machine().to_string_lossy().into_owned(),
            btf: btf_access(btf),
            tracefs: tracefs_access(tracefs),
            tracefs_path,
            euid: read_euid(),
            capabilities: read_capabilities(),
            lockdown: word("/sys/kernel/security/lockdown").and_then(|t| bracketed(&t)),
            unprivileged_bpf_disabled: number("/proc/sys/kernel/unprivileged_bpf_disabled"),
            perf_event_paranoid: number("/proc/sys/kernel/perf_event_paranoid"),
            uprobes: fs::exists(UPROBES).unwrap_or(false),
            cgroup: read_cgroup(),
            psi: fs::exists(psi::HOST).unwrap_or(false),
            memory_pressure: crate::procfs::host::pressure(),
            thp: read_thp(),
            swap_total_bytes: word("/proc/meminfo").and_then(|t| parse_swap_total(&t)),
            possible_cpus: word("/sys/devices/system/cpu/possible").map_or(1, |t| cpu_list(&t).1),
            online_cpus: read_online_cpus(),
            page_bytes: ::procfs::page_size(),
            pids: read_pids(),
            initial_user_namespace: namespace("user") == Some(INITIAL_USER_NAMESPACE),
            tracepoints: tracefs.as_ref().ok().map(read_tracepoints),
            no_functions: no_functions(btf, tracefs),
            raw_tracepoints: btf.as_ref().ok().map(raw),
        }
    }

    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|c| c == name)
    }

    pub fn machine_params(&self) -> Machine {
        let page_tables = page_tables_of(&self.machine, self.page_bytes);
        let pid_namespace = if let Pids::Own(namespace) = self.pids { namespace } else { 0 };
        Machine { cpus: self.possible_cpus, page_bytes: self.page_bytes, page_tables, pid_namespace }
    }
}

/// The kernel's trampolines stand on ftrace, which its file of functions shows to be alive.
fn no_functions(btf: &Result<Btf, BtfError>, tracefs: &Result<Tracefs, TracefsError>) -> Option<String> {
    let (Ok(btf), Ok(tracefs)) = (btf, tracefs) else { return Some("no BTF or no tracefs".into()) };
    let mut functions = PROGRAMS.iter().filter_map(|p| match p.by_function()? {
        Hook::Function { syscall, .. } => Some(function_of(syscall)),
        _ => None,
    });
    // Without direct calls a trampoline is refused on arm64 (before 6.4); on x86-64 it is older than what we run on.
    if cfg!(target_arch = "aarch64") && !btf.has_func("register_ftrace_direct") {
        return Some("this kernel has no direct calls from functions".into());
    }
    if let Some(unknown) = functions.find(|name| !btf.takes_struct(name)) {
        return Some(format!("this kernel does not describe the arguments of {unknown}"));
    }
    let file = tracefs.root().join("available_filter_functions");
    let first = fs::File::open(file).and_then(|mut file| file.read_exact(&mut [0]));
    first.err().map(|why| format!("this kernel's functions cannot be traced ({why})"))
}

fn raw_names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().filter_map(|p| match p.hook {
        Hook::RawTracepoint { name } => Some(name),
        _ => None,
    })
}

fn read_tracepoints(tracefs: &Tracefs) -> Vec<String> {
    let mut names: Vec<String> = PROGRAMS
        .iter()
        .filter_map(|p| match p.hook {
            Hook::Tracepoint { category, name } if tracefs.has(category, name) => Some(format!("{category}:{name}")),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn btf_access(btf: &Result<Btf, BtfError>) -> Access {
    match btf {
        Ok(_) => Access::Readable,
        Err(BtfError::Absent) => Access::Absent,
        Err(BtfError::Read(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => Access::Denied,
        Err(e) => Access::Broken(e.to_string()),
    }
}

fn tracefs_access(tracefs: &Result<Tracefs, TracefsError>) -> Access {
    match tracefs {
        Ok(_) => Access::Readable,
        Err(TracefsError::NotMounted) => Access::Absent,
        Err(TracefsError::Denied { .. }) => Access::Denied,
        Err(e) => Access::Broken(e.to_string()),
    }
}

fn word(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

fn number(path: &str) -> Option<i32> {
    word(path)?.parse().ok()
}

/// `(6, 18)` of `6.18.44-fc`; `(0, 0)` of what is none.
fn parse_version(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|p| p.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// The chosen word of `always [madvise] never`.
fn bracketed(text: &str) -> Option<String> {
    let start = text.split_once('[')?.1;
    Some(start.split_once(']')?.0.to_owned())
}

/// How many CPUs a list like `0-3,8` names, and the highest of them + 1.
fn cpu_list(text: &str) -> (u32, u32) {
    text.trim().split(',').fold((0, 0), |(count, end), part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.parse::<u32>(), last.parse::<u32>()) {
            (Ok(first), Ok(last)) if first <= last && last < u32::MAX => (count + last - first + 1, end.max(last + 1)),
            _ => (count, end),
        }
    })
}

fn parse_swap_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("SwapTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn read_euid() -> u32 {
    // Unreadable: assume no rights.
    crate::procfs::process::Status::read(std::process::id()).map_or(u32::MAX, |s| s.euid)
}

fn read_capabilities() -> Vec<String> {
    let set = caps::read(None, caps::CapSet::Effective).unwrap_or_default();
    let mut names: Vec<String> = set.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// Where memory is accounted on this host.
pub fn read_cgroup() -> CgroupFacts {
    read_cgroup_among(std::process::id(), &parse_mountinfo(&word("/proc/self/mountinfo").unwrap_or_default()))
}

/// The same as another process sees it, by paths that lead through its mounts: a neighbour in a pid namespace that
/// containers share has its cgroup mounted, and we have not.
pub fn read_cgroup_of(pid: u32) -> CgroupFacts {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let mut mounts = read_mounts(pid);
    mounts.iter_mut().for_each(|mount| mount.point = root.iter().chain(mount.point.iter().skip(1)).collect());
    read_cgroup_among(pid, &mounts)
}

fn read_cgroup_among(pid: u32, mounts: &[Mount]) -> CgroupFacts {
    let memberships = read_memberships(pid).unwrap_or_default();
    let v2 = mounts.iter().rfind(|m| m.kind == "cgroup2");
    let controllers = v2.and_then(|m| fs::read_to_string(m.point.join("cgroup.controllers")).ok());
    let find = |point: &Path| Tree::read(point).find(pid).map(Path::to_path_buf);
    cgroup_facts(mounts, &memberships, controllers.as_deref(), &find)
}

pub fn read_online_cpus() -> u32 {
    word("/sys/devices/system/cpu/online").map_or(1, |t| cpu_list(&t).0)
}

/// As `uname -r` says.
pub fn read_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// `None`: a kernel without transparent huge pages.
pub fn read_thp() -> Option<Thp> {
    let of = |file: &str| word(&format!("/sys/kernel/mm/transparent_hugepage/{file}"));
    Some(Thp {
        enabled: bracketed(&of("enabled")?)?,
        defrag: of("defrag").and_then(|t| bracketed(&t)).unwrap_or_default(),
        max_ptes_none: of("khugepaged/max_ptes_none").and_then(|t| t.parse().ok()),
    })
}

/// Without /proc nothing at all can be read: not the initial namespace's by name.
fn read_pids() -> Pids {
    let own = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
    match namespace("pid").and_then(|inode| u32::try_from(inode).ok()) {
        Some(inode) if own == Some(std::process::id()) && inode == INITIAL_PID_NAMESPACE => Pids::Initial,
        Some(inode) if own == Some(std::process::id()) => Pids::Own(inode),
        _ => Pids::Foreign,
    }
}

/// Inode of one of our own namespaces: `pid:[4026531836]`.
fn namespace(kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    bracketed(link.to_str()?)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel_are_understood() {
        assert_eq!(parse_version("6.18.44-fc-v657"), (6, 18));
        assert_eq!(parse_version("5.10"), (5, 10));
        assert_eq!(parse_version("strange"), (0, 0));
        assert_eq!(bracketed("always [madvise] never").as_deref(), Some("madvise"));
        assert_eq!(bracketed("pid:[4026531836]").as_deref(), Some("4026531836"));
        assert_eq!(bracketed("nothing"), None);
        assert_eq!(parse_swap_total("MemTotal: 5 kB\nSwapTotal:       2 kB\n"), Some(2048));
    }

    #[test]
    fn cpu_lists_count_and_end() {
        let cases = [("0-1", (2, 2)), ("0", (1, 1)), ("0-3,8-9", (6, 10)), ("", (0, 0)), ("x-3,4294967295", (0, 0))];
        for (text, expected) in cases {
            assert_eq!(cpu_list(text), expected, "{text}");
        }
    }

    #[test]
    fn this_host_is_read_without_rights() {
        let facts = Facts::read(&Btf::read(), &Tracefs::find());
        assert!(facts.version >= (4, 0) && !facts.machine.is_empty());
        assert!(facts.possible_cpus >= facts.online_cpus && facts.online_cpus > 0);
        assert!(facts.page_bytes.is_power_of_two());
    }
}
