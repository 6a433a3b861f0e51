//! What memtrace itself costs.
use super::clock::ClockOffset;
use super::process::{Stat, Status};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;
use std::time::Duration;

/// What is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnCost {
    pub rss_bytes: Option<u64>,
    /// Of all its threads, the ended ones too.
    pub cpu: Option<Duration>,
    pub open_fds: Option<u64>,
    /// When it was started, since 1970, by the clock as it was set when this was first asked: one that is set later makes
    /// no other start of it.
    pub started: Option<Duration>,
}

impl OwnCost {
    pub fn read() -> OwnCost {
        // The entry through which they are listed is not counted.
        let fds = || Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1));
        OwnCost { rss_bytes: rss_bytes(), cpu: cpu(), open_fds: fds(), started: started() }
    }
}

fn started() -> Option<Duration> {
    static STARTED: OnceLock<Option<Duration>> = OnceLock::new();
    *STARTED.get_or_init(|| {
        let boot_ns = Stat::read(std::process::id()).ok()?.start_boottime_ns;
        let monotonic_ns = ClockOffset::of_boot().to_monotonic(boot_ns);
        Some(Duration::from_nanos(ClockOffset::of_wall().from_monotonic(monotonic_ns)))
    })
}

fn cpu() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// [`OwnCost::cpu`]; 0 where it is not known.
pub fn cpu_ns() -> u64 {
    cpu().map_or(0, |cpu| u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX))
}

/// RSS of memtrace itself.
pub fn rss_bytes() -> Option<u64> {
    Status::read(std::process::id()).ok()?.rss_bytes()
}

/// What the C library keeps of freed memory goes back to the kernel: it does so by itself only at the end of its heaps.
pub fn give_back() {
    // SAFETY: it takes the allocator's own locks, and no memory that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// As many open files as this process may have without asking anybody, or `most` of them: each thread of a target takes
/// two, and what services are started with, 1024, is meant for programs that use `select`. Whom it starts inherits it.
pub fn raise_open_files(most: Option<u64>) -> std::io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = most.map_or(maximum, |most| Some(maximum.map_or(most, |maximum| most.min(maximum))));
    Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_to_what_is_allowed() {
        let current = |most| {
            raise_open_files(most).unwrap();
            getrlimit(Resource::Nofile).current
        };
        assert_eq!(current(Some(512)), Some(512));
        assert_eq!(current(Some(u64::MAX)), current(None));
        assert_eq!(current(None), getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn own_cost_is_known_and_grows() {
        let OwnCost { rss_bytes: Some(rss_bytes), cpu: Some(cpu), open_fds: Some(open_fds), started: Some(started) } =
            OwnCost::read()
        else {
            panic!("{:?}", OwnCost::read())
        };
        let age = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap() - started;
        assert!(age < Duration::from_secs(600), "{age:?}");
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        let after = OwnCost::read();
        // Tests run on several threads.
        assert!(rss_bytes > 0 && open_fds > 0 && after.open_fds > Some(0) && after.cpu > Some(cpu), "{after:?}");
        assert_eq!(after.started, Some(started));
        drop(file);
    }
}
