//! What runs in the machines: static programs of ours and of Go, in one initramfs for all kernels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

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

pub(super) fn build() -> Result<Guest> {
    setup::ensure()?;
    fs::create_dir_all(paths::workloads()).context("cannot make target/workloads")?;
    fs::create_dir_all(paths::vm()).context("cannot make target/vm")?;
    matrix::build()?;
    proc::capture(&mut workloads::build("./truth"))?;
    let step = Step::start("vm guest", "building memtrace and its tests, static (1 to 5 minutes the first time)");
    let arguments =
        ["-p", "memtrace", "-p", "memtrace-tests", "--bin", "memtrace", "--bin", "vm_guest", "--bin", "pages"];
    let built = dist::build_static(&arguments, "vm-build", &step)?;
    let listed = proc::capture(Command::new(built.join("vm_guest")).arg("list"))?;
    let initramfs = paths::vm().join("initramfs.gz");
    let packed = pack(&built)?;
    fs::write(&initramfs, &packed).with_context(|| format!("cannot write {}", initramfs.display()))?;
    step.done(&format!("{} MB", packed.len() / 1_000_000));
    Ok(Guest { initramfs, tests: listed.lines().map(str::to_owned).collect() })
}

/// By every release.
fn go_programs() -> Vec<PathBuf> {
    let matrix = toolchains::MATRIX.iter().map(|release| paths::matrix().join(release).join("stripped/program"));
    matrix.chain([paths::workloads().join("truth")]).collect()
}

/// The Go programs lie where the harness looks for them: at their places in this checkout.
fn pack(built: &Path) -> Result<Vec<u8>> {
    let mut initramfs = Initramfs::default();
    for (program, place) in [("vm_guest", "/init"), ("memtrace", MEMTRACE), ("pages", "/bin/pages")] {
        initramfs.program(Path::new(place), &without_symbols(&built.join(program))?)?;
    }
    for program in go_programs() {
        let contents = fs::read(&program).with_context(|| format!("cannot read {}", program.display()))?;
        initramfs.program(&program, &contents)?;
    }
    // Their paths go through it.
    initramfs.directory(&paths::root().join("tests"))?;
    ["/proc", "/sys", "/dev", "/tmp"].iter().try_for_each(|place| initramfs.directory(Path::new(place)))?;
    initramfs.compressed()
}

/// Guests have little memory.
fn without_symbols(program: &Path) -> Result<Vec<u8>> {
    let stripped = paths::vm().join("stripped");
    proc::capture(Command::new("strip").arg("-o").arg(&stripped).arg(program))?;
    fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))
}
