//! The kernel's log, for what it says of OOM kills; see Documentation/ABI/testing/dev-kmsg.
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// The longest record (kernel printk.c, PRINTK_MESSAGE_MAX), with room for its dictionary.
const RECORD_BYTES: usize = 8192;
/// Read at once; the next look reads on.
const RECORDS: usize = 4096;
/// More than the largest log holds.
const ALL_RECORDS: usize = 1 << 22;
const NS_PER_US: u64 = 1000;

/// A line about an OOM kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLine {
    /// The victim, as the initial pid namespace counts.
    pub pid: u32,
    /// Grows from record to record until the reboot.
    pub sequence: u64,
    /// On printk's own clock, which runs beside CLOCK_MONOTONIC.
    pub stamp_ns: u64,
    /// `oom-kill:constraint=…`, written before the kill; else `Killed process …`, written after it.
    pub is_before: bool,
    pub text: String,
}

/// Lines written from the opening on.
#[derive(Debug)]
pub struct Kmsg(File);

impl Kmsg {
    /// And what it said before. Needs CAP_SYSLOG where kernel.dmesg_restrict is set.
    pub fn open() -> std::io::Result<(Kmsg, Vec<KernelLine>)> {
        let mut log = Kmsg(OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?);
        let before = log.read(ALL_RECORDS);
        Ok((log, before))
    }

    /// What was written since; never waits.
    pub fn lines(&mut self) -> Vec<KernelLine> {
        self.read(RECORDS)
    }

    fn read(&mut self, records: usize) -> Vec<KernelLine> {
        let mut buffer = [0; RECORD_BYTES];
        let mut lines = Vec::new();
        for _ in 0..records {
            match self.0.read(&mut buffer) {
                Ok(bytes) if bytes > 0 => lines.extend(parse(&String::from_utf8_lossy(&buffer[..bytes]))),
                // The oldest were overwritten: the next read goes on behind them.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                _ => break,
            }
        }
        lines
    }
}

/// `6,339,5140900,-;oom-kill:constraint=CONSTRAINT_MEMCG,…,task=x,pid=12,uid=0`.
fn parse(record: &str) -> Option<KernelLine> {
    let (prefix, text) = record.lines().next()?.split_once(';')?;
    let mut fields = prefix.split(',').skip(1).map(|field| field.parse::<u64>().ok());
    let (sequence, stamp_us) = (fields.next()??, fields.next()??);
    let is_before = text.starts_with("oom-kill:");
    let pid = match text.split_once("ut of memory: Killed process ") {
        _ if is_before => text.rsplit_once(",pid=")?.1,
        Some((_, rest)) => rest,
        None => return None,
    };
    let digits = pid.split(|c: char| !c.is_ascii_digit()).next()?;
    let stamp_ns = stamp_us.checked_mul(NS_PER_US)?;
    Some(KernelLine { pid: digits.parse().ok()?, sequence, stamp_ns, is_before, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_lines_of_a_kill_are_read_and_others_are_not() {
        let of = |record| parse(record).map(|line| (line.pid, line.sequence, line.stamp_ns, line.is_before));
        let before = "6,339,5140900,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,\
                      oom_memcg=/t,task_memcg=/t/a,pid=1,task=a,pid=42,uid=0\n SUBSYSTEM=x\n";
        assert_eq!(of(before), Some((42, 339, 5_140_900_000, true)));
        let after = "3,340,5140999,-;Memory cgroup out of memory: Killed process 42 (a,b) total-vm:1kB, anon-rss:2kB\n";
        assert_eq!(of(after), Some((42, 340, 5_140_999_000, false)));
        assert_eq!(of("3,341,7,-;Out of memory: Killed process 7 (x)"), Some((7, 341, 7000, false)));
        for other in ["6,1,1,-;systemd[1]: x", "rubbish", "", "6,1,x,-;oom-kill:a,pid=1", "6,1,1,-;oom-kill:no pid"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn nothing_is_waited_for() {
        if let Ok((mut kmsg, before)) = Kmsg::open() {
            let since = kmsg.lines();
            assert!(before.into_iter().chain(since).is_sorted_by_key(|line| line.sequence));
        }
    }
}
