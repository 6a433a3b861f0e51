//! One virtual machine, without help from the processor: started, watched by what it says, ended.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::arch::Arch;
use super::verdict::{self, Report};
use crate::progress::Step;
use crate::{paths, proc};

/// The suite takes four to eight minutes; many more on busy cores. What hangs mostly says so before.
const LIMIT: Duration = Duration::from_secs(1200);
/// Before a machine that hangs is ended: the rest of what its kernel has to say about that.
const LAST_WORDS: Duration = Duration::from_secs(2);
const KERNEL: &str = "loglevel=5 panic=-1 mitigations=off rdinit=/init";

/// What it boots.
pub(super) struct Machine {
    pub(super) arch: Arch,
    pub(super) name: String,
    pub(super) image: PathBuf,
    pub(super) initramfs: PathBuf,
    /// It is booted once more, for the tests of memory cgroups of version 1.
    pub(super) has_memory_v1: bool,
    /// Of the first process.
    pub(super) environment: Vec<(String, String)>,
}

/// Installs what emulates these machines and builds for them, where it is missing.
pub(super) fn ensure(arch: Arch) -> Result<()> {
    if arch.is_provided() {
        return Ok(());
    }
    let packages = arch.packages().join(" ");
    if !paths::is_root() {
        bail!("what emulates {} is missing; as root: apt-get install --no-install-recommends {packages}", arch.name());
    }
    let step = Step::start("qemu", &format!("installing Debian's {packages} (a minute)"));
    let install = [&["install", "--yes", "--no-install-recommends"], arch.packages()].concat();
    for arguments in [vec!["update"], install] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        proc::quiet(&mut apt, "vm-qemu", Duration::from_secs(600), &step)?;
    }
    let version = proc::capture(Command::new(arch.qemu()).arg("--version"))?;
    step.done(version.lines().next().unwrap_or_default());
    Ok(())
}

impl Machine {
    /// Runs until it is off, hangs or has had its time; all it says is kept in `target/xtask/<name>.log`.
    pub(super) fn run(&self, tests: &[String]) -> Result<Report> {
        let step = Step::start(&self.name, "booting");
        let mut report = self.boot(&self.name, &[])?;
        if self.has_memory_v1 && tests.iter().any(|test| test.contains("version_1")) {
            report = report.and(self.boot(&format!("{}-v1", self.name), &["VM_CGROUPS=1"])?);
        }
        let count = report.count(tests);
        step.done(&format!("{} passed, {} failed", count.passed, count.failed));
        Ok(report)
    }

    fn boot(&self, name: &str, more: &[&str]) -> Result<Report> {
        let log = proc::log_path(name)?;
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let started = Instant::now();
        let mut qemu = self.command(more).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
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
        Ok(report)
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut environment: Vec<_> = self.environment.iter().map(|(key, value)| format!("{key}={value}")).collect();
        environment.extend(more.iter().map(|&one| one.to_owned()));
        let mut qemu = Command::new(self.arch.qemu());
        qemu.args(["-smp", "2", "-m", "1024"]).args(self.arch.qemu_options());
        qemu.args(["-nographic", "-no-reboot", "-nic", "none"]);
        qemu.arg("-kernel").arg(&self.image).arg("-initrd").arg(&self.initramfs);
        qemu.arg("-append").arg(format!("{} {KERNEL} {}", self.arch.kernel_options(), environment.join(" ")));
        qemu
    }

    /// Why it must be ended; nothing when it has ended.
    fn watch(&self, qemu: &mut Child, log: &PathBuf, started: Instant) -> Result<Option<String>> {
        while qemu.try_wait()?.is_none() {
            let said = fs::read(log).unwrap_or_default();
            if let Some(hung) = verdict::hung(&String::from_utf8_lossy(&said)) {
                thread::sleep(LAST_WORDS);
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
