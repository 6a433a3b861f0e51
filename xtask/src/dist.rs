//! `cargo xtask dist`: one fully static binary, proven to be one.
//!
//! glibc with `crt-static` instead of musl: the musl standard library is no package of any registry we build from.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::{paths, proc, setup};

pub(crate) fn main() -> Result<ExitCode> {
    setup::ensure()?;
    let step = Step::start("dist", "building memtrace, static (1 to 4 minutes)");
    let from = build_static(env::consts::ARCH, "dist", &["-p", "memtrace"], "dist-build", &step)?.join("memtrace");
    let to = paths::root().join("target/dist/memtrace");
    let elf = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    if names_an_interpreter(&elf).context("the binary is no 64-bit little-endian ELF file")? {
        bail!("{} is not static: it names an interpreter", from.display());
    }
    fs::create_dir_all(paths::root().join("target/dist")).context("cannot make target/dist")?;
    fs::copy(&from, &to).with_context(|| format!("cannot write {}", to.display()))?;
    step.done("static");
    let sum = proc::capture(Command::new("sha256sum").arg(&to))?;
    println!("{}\t{} bytes\tsha256 {}", to.display(), elf.len(), sum.split_whitespace().next().unwrap_or_default());
    Ok(ExitCode::SUCCESS)
}

/// The profile of what is tested, its packages (always together: what they want of a library is one thing then, built
/// once), and its programs: the binary, and what runs beside it here and in guests.
pub(crate) const TESTED: &str = "tested";
pub(crate) const TESTED_PACKAGES: &[&str] = &["-p", "memtrace", "-p", "memtrace-tests"];
pub(crate) const TESTED_PROGRAMS: &[&str] =
    &["--bin", "memtrace", "--bin", "vm_guest", "--bin", "pages", "--bin", "layouts"];
/// Beside the programs: cargo gives libraries what tests want of them only where it builds one, and else would build all
/// that is above such a library again.
pub(crate) const ONE_TEST: &[&str] = &["--test", "cli"];

/// `cargo build` of these for Linux on `arch`, needing nothing of the machine; the directory with the programs.
pub(crate) fn build_static(arch: &str, profile: &str, arguments: &[&str], log: &str, step: &Step) -> Result<PathBuf> {
    let (mut cargo, output) = cargo("build", arch, profile);
    proc::quiet(cargo.args(arguments), log, Duration::from_secs(3600), step)?;
    Ok(output)
}

/// What is tested on this machine and in its guests.
pub(crate) fn build_tested(log: &str, step: &Step) -> Result<PathBuf> {
    let arguments = [TESTED_PACKAGES, TESTED_PROGRAMS, ONE_TEST].concat();
    build_static(env::consts::ARCH, TESTED, &arguments, log, step)
}

/// `cargo` doing `verb` to static programs for Linux on `arch`; where it puts them.
pub(crate) fn cargo(verb: &str, arch: &str, profile: &str) -> (Command, PathBuf) {
    // --target even for the host: without it RUSTFLAGS would reach proc macros, which cannot be static.
    let target = format!("{arch}-unknown-linux-gnu");
    let mut cargo = proc::cargo();
    cargo.args([verb, "--profile", profile, "--target", &target]);
    // Flags for this target alone: RUSTFLAGS would also reach the nested build of the eBPF object.
    let of_target = |name: &str| format!("CARGO_TARGET_{}_{name}", target.to_uppercase().replace('-', "_"));
    cargo.env_remove("RUSTFLAGS").env(of_target("RUSTFLAGS"), "-C target-feature=+crt-static");
    let mut directory = paths::cargo_target();
    if arch != env::consts::ARCH {
        // No package registry we build from has the standard library of another machine; stable builds it when told so
        // by RUSTC_BOOTSTRAP. In a directory apart, since what was built without would be built again.
        directory.push("cross");
        cargo.args(["-Z", "build-std"]).env("RUSTC_BOOTSTRAP", "1").arg("--target-dir").arg(&directory);
        cargo.env(of_target("LINKER"), format!("{arch}-linux-gnu-gcc"));
    }
    (cargo, directory.join(target).join(profile))
}

/// Whether an ELF file has a PT_INTERP header, i.e. wants a dynamic loader; `None` when it cannot be read.
pub(crate) fn names_an_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u64 = 3;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let field = |at: usize, length: usize| -> Option<u64> {
        let mut bytes = [0; 8];
        bytes.get_mut(..length)?.copy_from_slice(elf.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(bytes))
    };
    let table = usize::try_from(field(0x20, 8)?).ok()?;
    let entry_size = usize::try_from(field(0x36, 2)?).ok()?;
    let entries = usize::try_from(field(0x38, 2)?).ok()?;
    for index in 0..entries {
        if field(table.checked_add(index * entry_size)?, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_binary_is_dynamic() {
        let elf = fs::read("/proc/self/exe").unwrap();
        assert_eq!(names_an_interpreter(&elf), Some(!cfg!(target_feature = "crt-static")));
    }

    #[test]
    fn other_files_are_no_answer() {
        assert_eq!(names_an_interpreter(b"#!/bin/sh\n"), None);
        assert_eq!(names_an_interpreter(b"\x7fELF\x02\x01"), None);
    }
}
