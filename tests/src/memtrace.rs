//! The real binary: started, waited for, read.
use crate::account::assert_account;
use crate::child::Child;
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;

/// A running `memtrace`.
#[derive(Debug)]
pub struct Memtrace {
    child: Child,
    seen: Vec<String>,
}

/// One that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Memtrace {
    /// The binary: `MEMTRACE_BIN`, else that of this target directory, built once.
    pub fn path() -> &'static Path {
        static PATH: OnceLock<PathBuf> = OnceLock::new();
        PATH.get_or_init(|| match std::env::var_os("MEMTRACE_BIN") {
            Some(path) => path.into(),
            None => build(),
        })
    }

    pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Command {
        let mut command = Command::new(Self::path());
        command.args(arguments).env_remove("NO_COLOR").env_remove("RUST_LOG");
        command
    }

    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_command(&mut Self::command(arguments))
    }

    #[track_caller]
    pub fn start_command(command: &mut Command) -> Self {
        Self { child: Child::start(command), seen: Vec::new() }
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(arguments: &[&str]) -> Ended {
        Self::start(arguments).end()
    }

    /// What a command that looks once says, as JSON.
    #[track_caller]
    pub fn json(arguments: &[&str]) -> Value {
        let ended = Self::run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(ended.code(), Some(0), "{arguments:?}: {}", ended.stderr);
        ended.json().pop().unwrap_or_else(|| panic!("{arguments:?} said nothing"))
    }

    /// `stat -o json -p PID` with an interval line every 50 ms; returns once the first one has come, so from here on
    /// everything the target does is seen.
    #[track_caller]
    pub fn attach(pid: u32, arguments: &[&str]) -> Self {
        let pid = pid.to_string();
        Self::ready([&["-p", &pid], arguments].concat().as_slice())
    }

    /// [`Memtrace::attach`] to other targets.
    #[track_caller]
    pub fn ready(arguments: &[&str]) -> Self {
        let mut memtrace = Self::start(&[&["stat", "-o", "json", "-i", "50ms"], arguments].concat());
        memtrace.interval();
        memtrace
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// The next line on stdout, which must be an interval.
    #[track_caller]
    pub fn interval(&mut self) -> Value {
        let Some(line) = self.child.line() else {
            let (_, stderr) = self.child.rest();
            panic!("memtrace ended ({}) before it was asked to: {stderr}", self.child.end());
        };
        let json = parse(&line);
        assert_eq!(json["kind"], "interval", "{line}");
        self.seen.push(line);
        json
    }

    /// `watch-oom`, from its first line on: every death from here on is seen.
    #[track_caller]
    pub fn watching(directory: &Path, arguments: &[&str]) -> Self {
        let directory = directory.to_str().expect("UTF-8");
        let mut memtrace = Self::start(&[&["watch-oom", "-o", "json", "--dir", directory], arguments].concat());
        let start = parse(&memtrace.text_line());
        assert_eq!((&start["kind"], &start["directory"]), (&"start".into(), &directory.into()), "{start}");
        memtrace
    }

    /// The next line on stdout, whatever it is.
    #[track_caller]
    pub fn text_line(&mut self) -> String {
        let line = self.child.line().expect("a line");
        self.seen.push(line.clone());
        line
    }

    /// A line for its stdin.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        self.child.say(line);
    }

    /// Whether anything has come on stdout yet.
    #[track_caller]
    pub fn has_spoken(&self) -> bool {
        self.child.has_spoken()
    }

    /// Waits for an interval that began after this call: what happened before is in the figures by then.
    #[track_caller]
    pub fn settle(&mut self) -> Value {
        let now = monotonic_ns();
        loop {
            let interval = self.interval();
            if interval["since_ns"].as_u64().expect("since_ns") >= now {
                return interval;
            }
        }
    }

    #[track_caller]
    pub fn signal(&mut self, signal: i32) {
        self.child.signal(signal);
    }

    /// Its sudden end; whom it started keeps its stdin and stdout.
    #[track_caller]
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.child.end();
    }

    pub fn close_stdin(&mut self) {
        self.child.close_stdin();
    }

    /// Ctrl-C, and the end.
    #[track_caller]
    pub fn interrupt(self) -> Ended {
        self.signalled(libc::SIGINT)
    }

    #[track_caller]
    pub fn signalled(mut self, signal: i32) -> Ended {
        self.child.signal(signal);
        self.end()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let status = self.child.end();
        let (rest, stderr) = self.child.rest();
        self.seen.extend(rest);
        Ended { status, lines: self.seen, stderr }
    }
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// All lines of stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        self.lines.iter().map(|line| parse(line)).collect()
    }

    /// All lines but the last, which must be an account that is closed and has lost nothing.
    #[track_caller]
    pub fn lines_before_the_account(&self) -> Vec<Value> {
        let mut lines = self.json();
        let last = lines.pop().unwrap_or_else(|| panic!("no account: {}", self.stderr));
        assert_account(&last);
        assert_eq!(last["account"]["lost"], 0, "{last}");
        lines
    }

    /// The last line, which must be the summary of a run that ended well; its account is checked.
    #[track_caller]
    pub fn summary(&self) -> Value {
        assert_eq!(self.code(), Some(0), "memtrace ended with {}: {}", self.status, self.stderr);
        self.last_summary()
    }

    /// The same whatever the exit code.
    #[track_caller]
    pub fn last_summary(&self) -> Value {
        let ended = (self.status.code(), self.status.signal());
        let last = self.lines.last().unwrap_or_else(|| panic!("no output, ended with {ended:?}: {}", self.stderr));
        let json = parse(last);
        assert_eq!(json["kind"], "summary", "the last line is no summary: {last}\nstderr: {}", self.stderr);
        assert_account(&json);
        json
    }
}

/// The process with this pid; exactly one entry must have it.
pub trait Processes {
    fn process(&self, pid: u32) -> &Value;
    fn processes(&self) -> &[Value];
}

impl Processes for Value {
    #[track_caller]
    fn process(&self, pid: u32) -> &Value {
        let found: Vec<_> = self.processes().iter().filter(|process| process["pid"] == pid).collect();
        assert_eq!(found.len(), 1, "entries with pid {pid} in {self}");
        found[0]
    }

    #[track_caller]
    fn processes(&self) -> &[Value] {
        self["processes"].as_array().unwrap_or_else(|| panic!("no processes: {self}"))
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
}

/// CLOCK_MONOTONIC, the clock of all times memtrace prints.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The target directory is that of this test binary: `<target>/<profile>/deps/<binary>`.
fn is_of_a_package(name: &std::ffi::OsStr) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|of| name.to_string_lossy().starts_with(of))
}

fn build() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let target = own.ancestors().nth(3).expect("a target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut build = Command::new(cargo);
    // What cargo says of this test: ring's build script would see that it has changed, and all of memtrace be built again.
    std::env::vars_os().map(|(name, _)| name).filter(|name| is_of_a_package(name)).for_each(|name| {
        build.env_remove(name);
    });
    let status = build
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["build", "--quiet", "--release", "-p", "memtrace", "--target-dir"])
        .arg(target)
        .status();
    assert!(status.expect("cargo runs").success(), "cannot build memtrace");
    target.join("release/memtrace")
}
