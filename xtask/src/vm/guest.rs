//! What runs in the machines: static programs of ours and of Go, in one initramfs for all kernels of an
//! architecture.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::arch::Arch;
use super::initramfs::Initramfs;
use crate::progress::Step;
use crate::{dist, matrix, paths, proc, setup, toolchains, workloads};

/// Where it lies in the guest.
pub(super) const MEMTRACE: &str = "/bin/memtrace";

pub(super) struct Guest {
    pub(super) initramfs: PathBuf,
    /// Names of the tests, as the program itself lists them.
    pub(super) tests: Vec<String>,
}

pub(super) fn build(arch: Arch) -> Result<Guest> {
    setup::ensure()?;
    fs::create_dir_all(paths::vm()).context("cannot make target/vm")?;
    matrix::build()?;
    for package in GO_PROGRAMS {
        proc::capture(&mut workloads::build_for(arch.short_name(), &format!("./{package}")))?;
    }
    let tests = build_static(env::consts::ARCH)?.join("vm_guest");
    let listed = proc::capture(Command::new(tests).arg("list"))?;
    let built = build_static(arch.name())?;
    let initramfs = paths::vm().join(format!("initramfs-{}.gz", arch.name()));
    fs::write(&initramfs, pack(arch, &built)?).with_context(|| format!("cannot write {}", initramfs.display()))?;
    Ok(Guest { initramfs, tests: listed.lines().map(str::to_owned).collect() })
}

/// Of `tests/workloads`.
const GO_PROGRAMS: [&str; 3] = ["truth", "many", "patterns"];

fn build_static(arch: &str) -> Result<PathBuf> {
    let step = Step::start("vm guest", &format!("memtrace and its tests, static for {arch} (1 to 5 minutes at first)"));
    // What this machine tests it gives to its guests, too; for another only what they use, there is nobody to export to.
    let log = format!("vm-build-{arch}");
    let built = if arch == env::consts::ARCH {
        dist::build_tested(&log, &step)?
    } else {
        let arguments = [dist::TESTED_PACKAGES, dist::TESTED_PROGRAMS, &["--no-default-features"]].concat();
        dist::build_static(arch, dist::TESTED, &arguments, &log, &step)?
    };
    step.done("static");
    Ok(built)
}

/// Each as it was built, and where the harness looks for it: at its place in this checkout.
fn go_programs(arch: Arch) -> Vec<(PathBuf, PathBuf)> {
    let built_as = match arch {
        Arch::X86_64 => "stripped/program",
        Arch::Aarch64 => "arm64-stripped/program",
    };
    let releases = toolchains::MATRIX.iter().map(|release| paths::matrix().join(release));
    let matrix = releases.map(|release| (release.join(built_as), release.join("stripped/program")));
    let own = GO_PROGRAMS.iter().map(|name| {
        let workloads = paths::workloads();
        (workloads.join(arch.short_name()).join(name), workloads.join(name))
    });
    matrix.chain(own).collect()
}

fn pack(arch: Arch, built: &Path) -> Result<Vec<u8>> {
    let mut initramfs = Initramfs::default();
    for (program, place) in [("vm_guest", "/init"), ("memtrace", MEMTRACE), ("pages", "/bin/pages")] {
        initramfs.program(Path::new(place), &without_symbols(arch, &built.join(program))?)?;
    }
    for (program, place) in go_programs(arch) {
        let contents = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        initramfs.program(&place, &contents)?;
    }
    // Their paths go through it.
    initramfs.directory(&paths::root().join("tests"))?;
    ["/proc", "/sys", "/dev", "/tmp"].iter().try_for_each(|place| initramfs.directory(Path::new(place)))?;
    initramfs.compressed()
}

/// Guests have little memory.
fn without_symbols(arch: Arch, program: &Path) -> Result<Vec<u8>> {
    let stripped = paths::vm().join("stripped");
    proc::capture(Command::new(arch.tool("strip")).arg("-o").arg(&stripped).arg(program))?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}
