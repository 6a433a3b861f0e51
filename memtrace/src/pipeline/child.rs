//! `-- CMD ARGS…`: observed from its first instruction, its exit code passed on.
//!
//! The command is held by a trampoline: memtrace itself, which stops before it execs. Nobody is traced or stopped that
//! was not started here for this.
use crate::error::Error;
use crate::procfs::OWN_EXE;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use std::ffi::OsString;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

/// First argument of the trampoline's command line.
pub const EXEC_ARGUMENT: &str = "__exec";
/// How long a command that outlives the run is given to obey SIGTERM.
const PATIENCE: Duration = Duration::from_secs(2);
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The trampoline's side: stops, and on SIGCONT becomes the command.
pub fn exec_main(command: &[OsString]) -> ExitCode {
    let [holder, program, arguments @ ..] = command else { return ExitCode::from(NOT_FOUND) };
    // As long as it is held it lives and dies with the one who holds it, who may be dead already.
    let dies = set_parent_process_death_signal(Some(Signal::KILL));
    if getppid().is_none_or(|parent| *holder != *parent.as_raw_nonzero().to_string()) {
        return ExitCode::FAILURE;
    }
    let held =
        dies.and_then(|()| kill_process(getpid(), Signal::STOP)).and_then(|()| set_parent_process_death_signal(None));
    if let Err(e) = held {
        eprintln!("memtrace: cannot hold the command: {e}");
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("memtrace: {}: {error}", program.display());
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
}

pub(super) struct TracedChild {
    child: Child,
    ended: Option<ExitStatus>,
}

impl TracedChild {
    /// Starts the command, held before its exec.
    pub(super) fn start(command: &[OsString]) -> Result<Self, Error> {
        let child = Command::new(OWN_EXE)
            .arg(EXEC_ARGUMENT)
            .arg(std::process::id().to_string())
            .args(command)
            .spawn()
            .map_err(Error::io("cannot start the command"))?;
        let held = Self { child, ended: None };
        let stopped = waitpid(held.rustix_pid(), WaitOptions::UNTRACED).map_err(std::io::Error::from);
        stopped.map_err(Error::io("cannot hold the command"))?;
        Ok(held)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn rustix_pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        let Some(pid) = self.rustix_pid() else { return Ok(()) };
        kill_process(pid, signal).map_err(std::io::Error::from).map_err(Error::io("cannot signal the command"))
    }

    /// Lets the command run.
    pub(super) fn go(&mut self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    /// Its exit code, once it has ended; a signal is 128 + its number, as in a shell.
    pub(super) fn ended(&mut self) -> Option<ExitCode> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        let status = self.ended?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Some(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
    }

    /// How it ended, if it has.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        self.ended
    }

    /// The kernel has seen it end: its exit code is there at once.
    pub(super) fn reap(&mut self) -> Option<ExitCode> {
        self.ended = self.ended.or_else(|| self.child.wait().ok());
        self.ended()
    }

    /// The run is over: a command that still runs is asked to end, which is no failure of its own.
    pub(super) fn finish(&mut self) -> Option<ExitCode> {
        if let Some(code) = self.ended() {
            return Some(code);
        }
        // It may have gone meanwhile.
        let _ = self.signal(Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.ended().is_some() {
                return Some(ExitCode::SUCCESS);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        log::warn!("the command (pid {}) ignores SIGTERM and was left running", self.pid());
        Some(ExitCode::SUCCESS)
    }
}

impl Drop for TracedChild {
    fn drop(&mut self) {
        // Only a command that never got to run is ended here: one that did has been dealt with by `finish`.
        if self.ended().is_none() {
            let _ = self.signal(Signal::CONT);
        }
    }
}
