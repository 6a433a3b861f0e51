//! Pressure stall information of memory: how long tasks waited for it, see Documentation/accounting/psi.rst.
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::str::FromStr;

/// Of the host.
pub const HOST: &str = "/proc/pressure/memory";
/// Without CAP_SYS_RESOURCE windows are multiples of this (since Linux 6.4).
const WINDOW_US: u64 = 2_000_000;
/// What the kernel takes.
const WINDOWS_US: std::ops::RangeInclusive<u64> = 500_000..=10_000_000;

const NS_PER_US: u64 = 1000;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one task waited.
    pub some: Stall,
    /// All tasks that could have run waited; `None`: not said.
    pub full: Option<Stall>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Shares of the last 10, 60 and 300 seconds.
    pub avg10_percent: f64,
    pub avg60_percent: f64,
    pub avg300_percent: f64,
    pub total_ns: u64,
}

/// Asks to be told once in each window in which tasks waited for longer than a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallTrigger {
    /// All tasks that could have run, not only some.
    pub is_full: bool,
    pub threshold_us: u64,
    pub window_us: u64,
}

/// As the kernel reads it: `some 150000 1000000`, in µs.
impl FromStr for StallTrigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [kind @ ("some" | "full"), threshold, window] = words[..] else {
            return Err("must be `some|full THRESHOLD WINDOW`, in microseconds".to_owned());
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is no count of microseconds"));
        let (threshold_us, window_us) = (number(threshold)?, number(window)?);
        if !WINDOWS_US.contains(&window_us) || threshold_us == 0 || threshold_us > window_us {
            return Err("the window must be 500000 to 10000000, and the threshold no longer than it".to_owned());
        }
        Ok(Self { is_full: kind == "full", threshold_us, window_us })
    }
}

impl fmt::Display for StallTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_full { "full" } else { "some" };
        write!(f, "{kind} {} {}", self.threshold_us, self.window_us)
    }
}

impl StallTrigger {
    /// The same share of a window that needs no capability.
    fn without_rights(self) -> StallTrigger {
        let window_us = self.window_us.next_multiple_of(WINDOW_US);
        let threshold_us = u128::from(self.threshold_us) * u128::from(window_us) / u128::from(self.window_us);
        StallTrigger { threshold_us: u64::try_from(threshold_us).unwrap_or(window_us), window_us, ..self }
    }

    /// Polled for priority, the file tells; it lasts as long as the file is open. With the trigger as it was accepted.
    pub fn arm(self, path: &Path) -> io::Result<(File, StallTrigger)> {
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
        };
        let write = |mut file: File, trigger: StallTrigger| {
            // With its NUL, as the kernel wants it.
            file.write_all(format!("{trigger}\0").as_bytes()).map(|()| (file, trigger))
        };
        match write(open()?, self) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => write(open()?, self.without_rights()),
            armed => armed,
        }
    }
}

impl Pressure {
    pub fn read(path: &Path) -> Option<Pressure> {
        super::record(&File::open(path).ok()?, Pressure::parse).ok()?
    }

    pub fn parse(text: &str) -> Option<Pressure> {
        let stall = |kind| text.lines().find_map(|line| Stall::parse(line.strip_prefix(kind)?.strip_prefix(' ')?));
        Some(Pressure { some: stall("some")?, full: stall("full") })
    }
}

impl Stall {
    /// `avg10=0.00 avg60=0.12 avg300=3.45 total=67`, the total in µs.
    fn parse(text: &str) -> Option<Stall> {
        let value = |key| text.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let percent = |key| value(key)?.parse().ok().filter(|percent| (0.0..=100.0).contains(percent));
        Some(Stall {
            avg10_percent: percent("avg10")?,
            avg60_percent: percent("avg60")?,
            avg300_percent: percent("avg300")?,
            total_ns: value("total")?.parse::<u64>().ok()?.checked_mul(NS_PER_US)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_is_written_as_it_is_read() {
        let trigger: StallTrigger = "full  50000 1000000".parse().unwrap();
        assert_eq!((trigger.is_full, trigger.to_string().as_str()), (true, "full 50000 1000000"));
        assert_eq!(trigger.without_rights().to_string(), "full 100000 2000000", "the same share");
        assert_eq!("some 2000000 2000000".parse::<StallTrigger>().unwrap().without_rights().window_us, 2_000_000);
        for wrong in ["", "some", "any 1 500000", "some 0 500000", "some 1 499999", "some 1 10000001", "some 9 x"] {
            assert!(wrong.parse::<StallTrigger>().is_err(), "{wrong}");
        }
        assert!("some 600000 500000".parse::<StallTrigger>().is_err());
    }

    #[test]
    fn both_lines_are_read_and_what_is_none_is_absent() {
        let text =
            "some avg10=0.50 avg60=1.25 avg300=0.00 total=149894\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=7\n";
        let pressure = Pressure::parse(text).unwrap();
        assert_eq!((pressure.some.avg10_percent, pressure.some.avg60_percent), (0.5, 1.25));
        assert_eq!((pressure.some.total_ns, pressure.full.unwrap().total_ns), (149_894_000, 7000));
        assert_eq!(Pressure::parse(text.lines().next().unwrap()).unwrap().full, None);
        for damaged in ["", "full avg10=0 avg60=0 avg300=0 total=1", "some avg10=NaN avg60=0 avg300=0 total=1"] {
            assert_eq!(Pressure::parse(damaged), None, "{damaged:?}");
        }
    }
}
