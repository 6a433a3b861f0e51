//! Child processes: quiet with a log and a time limit, captured, or streamed line by line.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::paths;
use crate::progress::Step;

const HEARTBEAT: Duration = Duration::from_secs(30);

/// The cargo that runs us, or the one on PATH.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    // What cargo says of xtask itself: build scripts that look at it (ring's) would run again, and what depends on them.
    for name in std::env::vars_os().map(|(name, _)| name) {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    command
}

/// The output of a short command, trimmed; fails when the command does.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let name = name_of(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name} failed: {}", stderr.trim().lines().last().unwrap_or("no message"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a long command with its output in `target/xtask/<log>.log`; kills it at `limit`.
pub(crate) fn quiet(command: &mut Command, log: &str, limit: Duration, step: &Step) -> Result<()> {
    let name = name_of(command);
    let path = log_path(log)?;
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let started = Instant::now();
    let mut spoke = started;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{name} took longer than {} s (log: {})", limit.as_secs(), path.display());
        }
        if spoke.elapsed() > HEARTBEAT {
            step.heartbeat(&last_line(&path));
            spoke = Instant::now();
        }
        thread::sleep(Duration::from_millis(50));
    };
    if !status.success() {
        bail!("{name} failed: {} (log: {})", last_line(&path), path.display());
    }
    Ok(())
}

/// Runs a command with stdout and stderr merged in order; every line goes to the screen, the log and `each`.
pub(crate) fn stream(command: &mut Command, log: &mut File, mut each: impl FnMut(&str)) -> Result<ExitStatus> {
    let name = name_of(command);
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    // The command still holds the write ends; without this the read below would never end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        log.write_all(&line)?;
        each(text.trim_end());
    }
    Ok(child.wait()?)
}

/// `target/xtask/<name>.log`, its directory made.
pub(crate) fn log_path(name: &str) -> Result<PathBuf> {
    let dir = paths::logs();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir.join(format!("{name}.log")))
}

fn name_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    match command.get_args().next() {
        Some(first) if !first.to_string_lossy().starts_with('-') => format!("{program} {}", first.to_string_lossy()),
        _ => program,
    }
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message");
    line.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captured_failure_names_the_command_and_its_last_line() {
        let error = capture(Command::new("sh").args(["-c", "echo one >&2; echo two >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "sh failed: two");
    }

    #[test]
    fn stdout_and_stderr_arrive_in_order() {
        let mut log = tempfile();
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo a; echo b >&2; echo c"]);
        assert!(stream(&mut command, &mut log, |line| seen.push(line.to_owned())).unwrap().success());
        assert_eq!(seen, ["a", "b", "c"]);
    }

    fn tempfile() -> File {
        File::create("/dev/null").unwrap()
    }
}
