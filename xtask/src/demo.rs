//! `cargo xtask demo`: a real Go service, traced for 15 s, from an empty machine.

use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, os::unix::process::CommandExt, thread};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::progress::Step;
use crate::{paths, proc, setup, workloads};

/// Ends the service when it goes out of scope, whatever happened meanwhile.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when the service is gone already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn main() -> Result<ExitCode> {
    if !paths::is_root() {
        bail!("the demo loads eBPF programs and needs root: run it as root (sudo -E cargo xtask demo)");
    }
    setup::ensure()?;
    let hour = Duration::from_secs(3600);
    let step = Step::start("memtrace", "building the release binary (1 to 3 minutes the first time)");
    proc::quiet(proc::cargo().args(["build", "--release", "-p", "memtrace"]), "demo-build", hour, &step)?;
    step.done("built");
    let step = Step::start("demo service", "building the Go program (about 20 s the first time)");
    fs::create_dir_all(paths::workloads()).context("cannot make target/workloads")?;
    proc::quiet(&mut workloads::build("./demo"), "demo-service-build", hour, &step)?;
    step.done("built");
    show()
}

fn show() -> Result<ExitCode> {
    // Ctrl-C reaches memtrace itself, which then prints its summary; here it only must not end us before that.
    let (from_terminal, asked_to_end) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(SIGINT, from_terminal).context("cannot handle SIGINT")?;
    for signal in [SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&asked_to_end)).context("cannot handle signals")?;
    }
    let log = fs::File::create(proc::log_path("demo-service")?).context("cannot write the service's log")?;
    let mut service = Command::new(paths::workloads().join("demo"));
    // Its own process group, so that Ctrl-C does not end it before memtrace has looked.
    service.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let service = Service(service.spawn().context("cannot start the demo service")?);
    let pid = service.0.id().to_string();
    eprintln!("demo service: running as pid {pid}; memtrace stat -p {pid} -d 15s -i 5s follows");
    let mut memtrace = Command::new(paths::cargo_target().join("release/memtrace"));
    memtrace.args(["stat", "-p", &pid, "-d", "15s", "-i", "5s"]);
    let mut memtrace = memtrace.spawn().context("cannot start memtrace")?;
    let mut told = false;
    let status = loop {
        if let Some(status) = memtrace.try_wait()? {
            break status;
        }
        if asked_to_end.load(Ordering::Relaxed) && !told {
            // These come to us alone, so they are passed on.
            proc::capture(Command::new("kill").args(["-INT", &memtrace.id().to_string()])).ok();
            told = true;
        }
        thread::sleep(Duration::from_millis(50));
    };
    drop(service);
    match status.code() {
        Some(code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        None => bail!("memtrace was ended by {status}"),
    }
}
