//! A running memtrace: started, ready, its CPU time, its account at the end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{paths, proc};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Tracer {
    child: Option<Child>,
}

impl Tracer {
    /// `memtrace ARGS -p PIDS`, attached to its targets. `quiet`: the output goes to /dev/null.
    pub(super) fn start(args: &[&str], pids: &[u32], quiet: bool) -> Result<Self> {
        let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
        let mut command = Command::new(paths::cargo_target().join("release/memtrace"));
        command.args(args).args(["-p", &pids.join(",")]).stdin(Stdio::null());
        command.stdout(if quiet { Stdio::null() } else { Stdio::piped() });
        let child = command.spawn().context("cannot start memtrace")?;
        let mut tracer = Self { child: Some(child) };
        let deadline = Instant::now() + PATIENCE;
        // The follower thread starts when every probe and every target is attached.
        while !tracer.threads().iter().any(|t| fs::read_to_string(t.join("comm")).is_ok_and(|c| c == "follower\n")) {
            if let Some(status) = tracer.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("memtrace ended at its start ({status})");
            }
            if Instant::now() > deadline {
                bail!("memtrace was not ready after {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(50));
        Ok(tracer)
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    fn threads(&self) -> Vec<PathBuf> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten();
        threads.filter_map(|t| Some(t.ok()?.path())).collect()
    }

    /// CPU time of all its threads, ns.
    pub(super) fn cpu_ns(&self) -> u64 {
        let of = |thread: PathBuf| -> Option<u64> {
            fs::read_to_string(thread.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
        };
        self.threads().into_iter().filter_map(of).sum()
    }

    /// Ends it as Ctrl-C would; its loss account, if its output was kept.
    pub(super) fn finish(mut self) -> Result<Value> {
        proc::capture(Command::new("kill").args(["-INT", &self.pid().to_string()]))?;
        let Some(child) = self.child.take() else { return Ok(Value::Null) };
        let output = child.wait_with_output().context("memtrace is gone")?;
        if !output.status.success() {
            bail!("memtrace failed ({})", output.status);
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(last) = text.lines().last() else { return Ok(Value::Null) };
        let mut summary: Value = serde_json::from_str(last).context("memtrace's summary is no JSON")?;
        Ok(summary["account"].take())
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
