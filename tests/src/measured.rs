//! The real binary, and what a run of it took.
use crate::Memtrace;
use serde_json::Value;
use std::io::{Read as _, Seek as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What a run of `memtrace` has said and taken.
#[derive(Debug)]
pub struct Measured {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub wall: Duration,
    /// The most of its own memory that was resident; never less than that of the test itself, which the kernel adds.
    pub peak_bytes: u64,
}

impl Measured {
    /// Runs it to its end.
    #[track_caller]
    #[expect(clippy::zombie_processes, reason = "wait4 waits for it, and says what it took")]
    pub fn run(arguments: &[&str]) -> Measured {
        let [mut stdout, mut stderr] = [(); 2].map(|()| tempfile::tempfile().expect("a file"));
        let own = |file: &std::fs::File| Stdio::from(file.try_clone().expect("a file"));
        let mut command = Memtrace::command(arguments);
        command.stdin(Stdio::null()).stdout(own(&stdout)).stderr(own(&stderr));
        let started = Instant::now();
        let child = command.spawn().expect("memtrace runs");
        let mut status = 0;
        // SAFETY: plain integers, for which all bytes zero are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: a child that nobody else waits for; both places are valid for writing.
        let ended = unsafe { libc::wait4(child.id() as i32, &raw mut status, 0, &raw mut usage) };
        let wall = started.elapsed();
        assert_eq!(ended, child.id() as i32, "{}", std::io::Error::last_os_error());
        let text = |file: &mut std::fs::File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("its output");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (stdout, stderr) = (text(&mut stdout), text(&mut stderr));
        let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
        Measured { code, stdout, stderr, wall, peak_bytes: 1024 * usage.ru_maxrss as u64 }
    }

    /// The object on its stdout.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.stdout))
    }
}
