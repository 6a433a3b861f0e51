//! Identity and size of one process: `/proc/PID/{stat,status,comm,exe,task}`, see proc(5).
use super::kept::Kept;
use super::{ProcError, error, kib, numbers, path, text};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// `PF_KTHREAD` of include/linux/sched.h.
const PF_KTHREAD: u64 = 0x0020_0000;
const NS_PER_S: u64 = 1_000_000_000;

/// States of a task that has ended: whoever started it has not asked how, or is about to.
const ENDED: [char; 2] = ['Z', 'X'];

/// Not yet immune.
const LAST_TO_GO: &str = "-999";

/// Has the OOM killer choose others than this process, which is to tell of them; not its children so far. Takes
/// CAP_SYS_RESOURCE.
pub fn spare_from_oom() -> std::io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", LAST_TO_GO)
}

/// Who a process is, from `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub comm: String,
    /// `R`, `S`, `D`, `Z` …
    pub state: char,
    pub parent: u32,
    /// Start on the boot clock (CLOCK_BOOTTIME), ns, to the tick (10 ms): the kernel's `start_boottime` cut down.
    pub start_boottime_ns: u64,
    /// Where the program's stack began: random, so another after each exec. 0: not shown to this user, or none.
    start_stack: u64,
    pub is_kernel_thread: bool,
    /// Page faults handled, minor and major, of all its threads: those of the kernel's own touches too (mm_account_fault).
    pub faults: u64,
    threads: u64,
    /// Of all its threads, the ended ones too: user and system.
    pub cpu_ns: u64,
    /// Size of its address space.
    pub virtual_bytes: u64,
}

impl Stat {
    /// `ticks_per_second`: sysconf `_SC_CLK_TCK`.
    pub(super) fn parse(text: &str, ticks_per_second: u64) -> Option<Stat> {
        // The comm may hold spaces and parentheses: it ends at the last one.
        let (head, tail) = text.rsplit_once(')')?;
        let comm = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let ns = |ticks: u64| {
            let ns = u128::from(ticks) * u128::from(NS_PER_S) / u128::from(ticks_per_second.max(1));
            u64::try_from(ns).ok()
        };
        Some(Stat {
            comm,
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            start_boottime_ns: ns(number(22)?)?,
            start_stack: number(28).unwrap_or(0),
            is_kernel_thread: number(9)? & PF_KTHREAD != 0,
            faults: number(10)?.checked_add(number(12)?)?,
            threads: number(20)?,
            cpu_ns: ns(number(14)?.checked_add(number(15)?)?)?,
            virtual_bytes: number(23)?,
        })
    }

    pub fn read(pid: u32) -> Result<Stat, ProcError> {
        Kept::new(pid).stat()
    }
}

impl Stat {
    /// The process that was started then, if that is known, and a thread of it still runs: its parent may not have asked yet
    /// how it ended.
    pub fn is_alive_since(&self, start_boottime_ns: Option<u64>) -> bool {
        // The first thread may end before the others.
        let is_dead = ENDED.contains(&self.state) && self.threads <= 1;
        !is_dead && start_boottime_ns.is_none_or(|start_ns| self.started_at(start_ns))
    }

    /// Is this the process that the kernel side dates `start_boottime_ns` exactly? /proc shows whole ticks. Outside a time
    /// namespace.
    pub fn started_at(&self, start_boottime_ns: u64) -> bool {
        let tick_ns = NS_PER_S / ::procfs::ticks_per_second().max(1);
        start_boottime_ns / tick_ns * tick_ns == self.start_boottime_ns
    }
}

/// RLIMIT_AS; `None`: there is none, or it is not known.
pub fn address_space_limit_bytes(pid: u32) -> Option<u64> {
    let limits = ::procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?.limits().ok()?;
    match limits.max_address_space.soft_limit {
        ::procfs::process::LimitValue::Value(bytes) => Some(bytes),
        ::procfs::process::LimitValue::Unlimited => None,
    }
}

/// One program in one process: another after an exec, and when the pid is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    start_boottime_ns: u64,
    start_stack: u64,
    /// Device and inode of the executable.
    exe: (u64, u64),
}

impl Incarnation {
    pub fn read(pid: u32) -> Result<Incarnation, ProcError> {
        Self::of(pid, &Stat::read(pid)?)
    }

    /// `stat`: as it was just read.
    pub fn of(pid: u32, stat: &Stat) -> Result<Incarnation, ProcError> {
        let exe = std::fs::metadata(path(pid, "exe")).map_err(|e| error(pid, "exe", e))?;
        let Stat { start_boottime_ns, start_stack, .. } = *stat;
        Ok(Incarnation { start_boottime_ns, start_stack, exe: (exe.dev(), exe.ino()) })
    }
}

/// What a process holds, from `/proc/PID/status`; sizes in bytes, `None` where it has no memory (kernel thread, zombie).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub rss_anon_bytes: Option<u64>,
    pub rss_file_bytes: Option<u64>,
    pub rss_shmem_bytes: Option<u64>,
    /// VmHWM: the highest RSS of its life.
    pub rss_peak_bytes: Option<u64>,
    pub swap_bytes: Option<u64>,
    /// VmPTE: its page tables.
    pub page_tables_bytes: Option<u64>,
    pub threads: u32,
    /// Effective user id.
    pub euid: u32,
    /// Its first thread has ended.
    pub is_ended: bool,
}

impl Status {
    /// All of its threads have.
    pub fn is_dead(&self) -> bool {
        self.is_ended && self.threads <= 1
    }

    /// In one go: it is read of every process every second.
    pub(super) fn parse(text: &str) -> Option<Status> {
        let (mut status, mut threads, mut euid) = (Status::default(), None, None);
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let bytes = match key {
                "RssAnon" => &mut status.rss_anon_bytes,
                "RssFile" => &mut status.rss_file_bytes,
                "RssShmem" => &mut status.rss_shmem_bytes,
                "VmHWM" => &mut status.rss_peak_bytes,
                "VmSwap" => &mut status.swap_bytes,
                "VmPTE" => &mut status.page_tables_bytes,
                "Threads" => {
                    threads = value.trim().parse().ok();
                    continue;
                }
                "State" => {
                    status.is_ended = value.trim_start().starts_with(ENDED);
                    continue;
                }
                "Uid" => {
                    euid = value.split_whitespace().nth(1).and_then(|id| id.parse().ok());
                    continue;
                }
                _ => continue,
            };
            *bytes = kib(value);
        }
        Some(Status { threads: threads?, euid: euid?, ..status })
    }

    pub fn read(pid: u32) -> Result<Status, ProcError> {
        Kept::new(pid).status()
    }

    /// VmRSS: anonymous + file + shmem. Up to 6.1 the kernel shows it without what each thread has not yet added (under
    /// 64 pages each).
    pub fn rss_bytes(&self) -> Option<u64> {
        self.rss_anon_bytes?.checked_add(self.rss_file_bytes?)?.checked_add(self.rss_shmem_bytes?)
    }
}

/// The process's name: the main thread's comm.
pub fn comm(pid: u32) -> Result<String, ProcError> {
    Ok(text(pid, "comm")?.trim_end_matches('\n').to_owned())
}

/// Where its executable was; a replaced one ends in ` (deleted)`. A kernel thread has none and counts as vanished.
pub fn exe(pid: u32) -> Result<PathBuf, ProcError> {
    std::fs::read_link(path(pid, "exe")).map_err(|e| error(pid, "exe", e))
}

/// Its threads now; new ones may follow while this is read.
pub fn threads(pid: u32) -> Result<Vec<u32>, ProcError> {
    let tids: Vec<u32> = numbers(&path(pid, "task")).map_err(|e| error(pid, "task", e))?.collect();
    if tids.is_empty() { Err(ProcError::Vanished { pid }) } else { Ok(tids) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::NOBODY;
    use super::*;

    const STAT: &str = "77 (a) b (c)) S 1 77 77 0 -1 4194560 100 0 7 0 1 2 0 0 20 0 5 0 12345 1 2 3\n";

    #[test]
    fn stat_survives_any_comm() {
        let stat = Stat::parse(STAT, 100).unwrap();
        assert_eq!(stat.comm, "a) b (c)");
        assert_eq!((stat.state, stat.parent, stat.is_kernel_thread, stat.faults), ('S', 1, false, 107));
        assert_eq!(stat.start_boottime_ns, 123_450_000_000);
        assert!(stat.started_at(123_459_999_999) && !stat.started_at(123_460_000_000));
        let kernel = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0 0\n";
        assert!(Stat::parse(kernel, 100).unwrap().is_kernel_thread);
        for end in 0..STAT.len() {
            let _ = Stat::parse(&STAT[..end], 100);
        }
        assert_eq!(Stat::parse("", 100), None);
    }

    #[test]
    fn status_sums_the_three_kinds() {
        let text = "Name:\tx\nUid:\t0\t5\t0\t0\nVmHWM:\t 40 kB\nRssAnon:\t 1 kB\nRssFile:\t 2 kB\nRssShmem:\t 4 kB\nVmSwap:\t 8 kB\nThreads:\t3\n";
        let status = Status::parse(text).unwrap();
        assert_eq!(status.rss_bytes(), Some(7 * 1024));
        assert_eq!((status.rss_peak_bytes, status.swap_bytes), (Some(40 * 1024), Some(8 * 1024)));
        assert_eq!((status.threads, status.euid), (3, 5));
        let kernel_thread = Status::parse("Uid:\t0\t0\t0\t0\nThreads:\t1\n").unwrap();
        assert_eq!(kernel_thread.rss_bytes(), None);
    }

    #[test]
    fn this_process_reads_itself() {
        let pid = std::process::id();
        let stat = Stat::read(pid).unwrap();
        assert!(!stat.is_kernel_thread && stat.start_boottime_ns > 0);
        assert!(Status::read(pid).unwrap().rss_bytes().unwrap() > 0);
        assert!(threads(pid).unwrap().contains(&pid));
        assert!(exe(pid).unwrap().is_absolute());
        assert!(!comm(pid).unwrap().is_empty());
    }

    #[test]
    fn an_exec_and_a_reused_pid_are_other_incarnations() {
        let mut child = std::process::Command::new("sh");
        let mut child = child
            .args(["-c", "read x; exec cat"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let shell = Incarnation::read(pid).unwrap();
        assert_eq!(Incarnation::read(pid).unwrap(), shell);
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\n").unwrap();
        while comm(pid).unwrap() != "cat" {
            std::thread::yield_now();
        }
        assert_ne!(Incarnation::read(pid).unwrap(), shell);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Incarnation::read(pid).is_err());
    }

    #[test]
    fn nobody_has_vanished() {
        assert!(matches!(Stat::read(NOBODY), Err(ProcError::Vanished { .. })));
        assert!(matches!(threads(NOBODY), Err(ProcError::Vanished { .. })));
        assert!(matches!(exe(NOBODY), Err(ProcError::Vanished { .. })));
    }
}
