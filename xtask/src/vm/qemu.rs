//! One virtual machine, without help from the processor: started, watched by what it says, ended.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::verdict::{self, Report};
use crate::progress::Step;
use crate::{paths, proc};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The suite takes about a minute; two on busy cores.
const LIMIT: Duration = Duration::from_secs(420);
/// QEMU 7.2 runs cmpxchg16b wrongly, and kernels of today die of it.
const CPU: &str = "max,-cx16";
/// TCG's time stamp counter is none to trust.
const KERNEL: &str = "console=ttyS0 quiet panic=-1 mitigations=off tsc=unstable rdinit=/init";

/// What it boots.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) image: PathBuf,
    pub(super) initramfs: PathBuf,
    /// Of the first process.
    pub(super) environment: Vec<(String, String)>,
}

/// Installs QEMU where there is none.
pub(super) fn ensure() -> Result<()> {
    if version().is_ok() {
        return Ok(());
    }
    if !paths::is_root() {
        bail!("{PROGRAM} is missing; as root: apt-get install --no-install-recommends {PACKAGE}");
    }
    let step = Step::start("qemu", &format!("installing Debian's {PACKAGE} (half a minute)"));
    for arguments in [&["update"][..], &["install", "--yes", "--no-install-recommends", PACKAGE]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        proc::quiet(&mut apt, "vm-qemu", Duration::from_secs(600), &step)?;
    }
    step.done(&version()?);
    Ok(())
}

fn version() -> Result<String> {
    let text = proc::capture(Command::new(PROGRAM).arg("--version"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

impl Machine {
    /// Runs until it is off, hangs or has had its time; all it says is kept in `target/xtask/<name>.log`.
    pub(super) fn run(&self, tests: &[String]) -> Result<Report> {
        let log = proc::log_path(&self.name)?;
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let started = Instant::now();
        let step = Step::start(&self.name, "booting");
        let mut qemu = self.command().stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let trouble = self.watch(&mut qemu, &log, started);
        // Off by itself, or by us; either way it is waited for.
        if !matches!(trouble, Ok(None)) {
            qemu.kill().ok();
            qemu.wait()?;
        }
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let mut report = Report::read(&self.name, &said);
        report.took = started.elapsed();
        report.trouble = trouble?.or(report.trouble);
        let count = report.count(tests);
        step.done(&format!("{} passed, {} failed", count.passed, count.failed));
        Ok(report)
    }

    fn command(&self) -> Command {
        let environment: Vec<_> = self.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut qemu = Command::new(PROGRAM);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2", "-m", "1024"]);
        qemu.args(["-nographic", "-no-reboot", "-nic", "none"]);
        qemu.arg("-kernel").arg(&self.image).arg("-initrd").arg(&self.initramfs);
        qemu.arg("-append").arg(format!("{KERNEL} {}", environment.join(" ")));
        qemu
    }

    /// Why it must be ended; nothing when it has ended.
    fn watch(&self, qemu: &mut Child, log: &PathBuf, started: Instant) -> Result<Option<String>> {
        while qemu.try_wait()?.is_none() {
            let said = fs::read(log).unwrap_or_default();
            if let Some(hung) = verdict::hung(&String::from_utf8_lossy(&said)) {
                return Ok(Some(hung));
            }
            if started.elapsed() > LIMIT {
                return Ok(Some(format!("not at its end after {} s", LIMIT.as_secs())));
            }
            thread::sleep(Duration::from_millis(200));
        }
        Ok(None)
    }
}
