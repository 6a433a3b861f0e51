//! The standard library's source, which `build-std` compiles for the BPF target.
//!
//! It goes where rustup would put it, because cargo looks nowhere else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::{debian, paths, proc};

/// Hashes known beforehand, by rustc version; for other versions the package index gives them.
const PINNED: &[(&str, &str)] = &[("1.95.0", "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b")];

pub(super) fn find() -> Result<Option<String>> {
    let there = library_in(&sysroot()?).join("core/src/lib.rs").is_file();
    Ok(there.then(|| "rust-src".to_owned()))
}

pub(super) fn install() -> Result<()> {
    let step = Step::start("rust-src", "asking rustup for the component (seconds, 2 min at most)");
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "add", "rust-src"]);
    match proc::quiet(&mut rustup, "setup-rustup", Duration::from_secs(120), &step) {
        Ok(()) if find()?.is_some() => {
            step.done("component added");
            return Ok(());
        }
        Ok(()) => step.done("rustup added it to another toolchain"),
        Err(error) => step.done(&format!("rustup cannot ({error:#}); trying Debian's package")),
    }
    from_debian(&sysroot()?)
}

/// Unpacks Debian's package of exactly rustc's version into `sysroot`, without touching the package state.
pub(crate) fn from_debian(sysroot: &Path) -> Result<()> {
    let version = rustc_version()?;
    let step = Step::start("rust-src", &format!("looking for Debian's rust-src {version} (10 s), then fetching 45 MB"));
    let mut package = debian::find("rust-src", &version)?;
    if let Some((_, pinned)) = PINNED.iter().find(|(pinned_version, _)| *pinned_version == version) {
        package.sha256 = (*pinned).to_owned();
    }
    step.heartbeat(&format!("found {} in {}", package.version, package.suite));
    let unpacked = debian::fetch_and_unpack(&package)?;
    let from = library_under(&unpacked)?;
    let to = library_in(sysroot);
    replace_tree(&from, &to)?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))?;
    step.done(&format!("{} from {} in {}", package.version, package.suite, to.display()));
    Ok(())
}

/// `usr/src/rustc-<version>/library`, whatever the package calls the directory.
fn library_under(unpacked: &Path) -> Result<PathBuf> {
    let src = unpacked.join("usr/src");
    for entry in fs::read_dir(&src).with_context(|| format!("no {} in the package", src.display()))? {
        let library = entry?.path().join("library");
        if library.join("core/src/lib.rs").is_file() {
            return Ok(library);
        }
    }
    bail!("the package holds no library directory")
}

/// Copies beside the destination first, so an interrupted copy is never taken for a whole one.
fn replace_tree(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().context("the destination has no parent")?;
    let staged = parent.join("library.partial");
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    for old in [&staged, &to.to_path_buf()] {
        if old.exists() {
            fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    proc::capture(Command::new("cp").arg("-a").arg("--no-preserve=ownership").arg(from).arg(&staged))?;
    fs::rename(&staged, to).with_context(|| format!("cannot make {}", to.display()))
}

fn library_in(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

fn sysroot() -> Result<PathBuf> {
    Ok(proc::capture(Command::new("rustc").args(["--print", "sysroot"]).current_dir(paths::root()))?.into())
}

fn rustc_version() -> Result<String> {
    let verbose = proc::capture(Command::new("rustc").arg("-vV").current_dir(paths::root()))?;
    let release = verbose.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).context("rustc -vV names no release")
}
