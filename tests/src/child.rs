//! A child process that is killed, by its id, when its test is over.
use crate::procfs::whereabouts;
use crate::wait::{Deadline, PERIOD};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child as StdChild, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;

/// Its stdout comes line by line, its stderr at the end.
#[derive(Debug)]
pub struct Child {
    name: String,
    child: StdChild,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    spoken: Arc<AtomicBool>,
    /// Ends with its stdout.
    reader: JoinHandle<()>,
    stderr: Option<JoinHandle<String>>,
    status: Option<ExitStatus>,
}

impl Child {
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("a pipe");
        let spoken = Arc::new(AtomicBool::new(false));
        let speaks = spoken.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                speaks.store(true, Relaxed);
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut pipe = child.stderr.take().expect("a pipe");
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = pipe.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Self { name, child, stdin, lines, spoken, reader, stderr: Some(stderr), status: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to its stdin.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        let written = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        written.unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The next line of its stdout; `None` at the end.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(Deadline::default().left()) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("{}", whereabouts(self.pid()));
                panic!("{} says nothing", self.name)
            }
        }
    }

    /// Whether anything has come on stdout yet; who has ended never will.
    #[track_caller]
    pub fn has_spoken(&self) -> bool {
        let is_silent = self.reader.is_finished();
        let spoken = self.spoken.load(Relaxed);
        assert!(spoken || !is_silent, "{} has ended without a word", self.name);
        spoken
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    #[track_caller]
    pub fn signal(&mut self, signal: i32) {
        assert!(self.status.is_none(), "{} has ended already", self.name);
        // SAFETY: the child has not been waited for, so the id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as i32, signal) };
        assert_eq!(sent, 0, "cannot signal {}: {}", self.name, std::io::Error::last_os_error());
    }

    /// It may map so much more than it has, and no more.
    #[track_caller]
    pub fn bound_address_space(&self, spare_bytes: u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a child");
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.strip_suffix("kB"));
        let size: u64 =
            size.and_then(|kib| kib.trim().parse().ok()).unwrap_or_else(|| panic!("{}: {status}", self.name));
        let bytes = 1024 * size + spare_bytes;
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        // SAFETY: the limit is valid for reading, and no old one is asked for.
        let set = unsafe { libc::prlimit(self.pid() as i32, libc::RLIMIT_AS, &raw const limit, std::ptr::null_mut()) };
        assert_eq!(set, 0, "cannot limit {}: {}", self.name, std::io::Error::last_os_error());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let deadline = Deadline::default();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                self.status = Some(status);
                return status;
            }
            if deadline.left().is_zero() {
                eprintln!("{}", whereabouts(self.pid()));
                panic!("waited in vain: the end of {}", self.name);
            }
            std::thread::sleep(PERIOD);
        }
    }

    /// All that is left of its stdout, and its stderr; after its end.
    pub fn rest(&mut self) -> (Vec<String>, String) {
        let lines = std::iter::from_fn(|| self.line()).collect();
        let stderr = self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        (lines, stderr)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
