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
    let from = build_static(&["-p", "memtrace"], "dist-build", &step)?.join("memtrace");
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

/// `cargo build` of these for this machine, needing nothing of it; the directory with the programs.
pub(crate) fn build_static(arguments: &[&str], log: &str, step: &Step) -> Result<PathBuf> {
    // --target even for the host: without it RUSTFLAGS would reach proc macros, which cannot be static.
    let target = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let mut build = proc::cargo();
    build.args(["build", "--release", "--target", &target]).args(arguments);
    // Flags for this target alone: RUSTFLAGS would also reach the nested build of the eBPF object.
    let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    build.env_remove("RUSTFLAGS").env(flags, "-C target-feature=+crt-static");
    proc::quiet(&mut build, log, Duration::from_secs(3600), step)?;
    Ok(paths::cargo_target().join(target).join("release"))
}

/// Whether an ELF file has a PT_INTERP header, i.e. wants a dynamic loader; `None` when it cannot be read.
fn names_an_interpreter(elf: &[u8]) -> Option<bool> {
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
