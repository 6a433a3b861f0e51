//! `bpf-linker`, built here because its LLVM must be the one of the rustc that feeds it.
//!
//! A bpf-linker found on PATH is not trusted: nothing cheap tells which LLVM is inside.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::progress::Step;
use crate::{paths, proc};

const VERSION: &str = "0.10.3";
pub(super) const BY_HAND: &str = "cargo install bpf-linker --version 0.10.3 --locked --root target/tools";

pub(super) fn find() -> Result<Option<String>> {
    let built_for = fs::read_to_string(stamp()).unwrap_or_default();
    if built_for != wanted_stamp()? {
        return Ok(None);
    }
    let version = proc::capture(Command::new(binary()).arg("--version")).unwrap_or_default();
    Ok((version == format!("bpf-linker {VERSION}")).then_some(version))
}

pub(super) fn install() -> Result<()> {
    let step = Step::start(
        "bpf-linker",
        &format!("building {VERSION} (1 minute on 2 idle cores, up to 10 on busy ones; once per rustc)"),
    );
    // Its own target directory: kept after a failure, so the next try goes on where this one stopped.
    let build = paths::tools().join("build");
    let mut install = proc::cargo();
    install.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--root"]);
    install.arg(paths::tools()).env("CARGO_TARGET_DIR", &build);
    proc::quiet(&mut install, "setup-bpf-linker", Duration::from_secs(45 * 60), &step)?;
    fs::write(stamp(), wanted_stamp()?).context("cannot write bpf-linker's stamp")?;
    fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    step.done("built");
    Ok(())
}

/// The linker and the compiler it was built with, LLVM version included.
fn wanted_stamp() -> Result<String> {
    let rustc = proc::capture(Command::new("rustc").arg("-vV").current_dir(paths::root()))?;
    Ok(format!("bpf-linker {VERSION}\n{rustc}\n"))
}

fn binary() -> PathBuf {
    paths::tools().join("bin/bpf-linker")
}

fn stamp() -> PathBuf {
    paths::tools().join("bpf-linker.stamp")
}
