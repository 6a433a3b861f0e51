//! Kernel images out of Debian's packages; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;
use crate::debian::{self, Package};
use crate::paths;
use crate::progress::Step;

/// The kernel's image, at `target/vm/vmlinuz-<series>`, unless it is there.
pub(super) fn fetch(kernel: &Kernel) -> Result<PathBuf> {
    let place = paths::vm().join(format!("vmlinuz-{}", kernel.series));
    let record = paths::vm().join(format!("vmlinuz-{}.sha256", kernel.series));
    if place.is_file() && fs::read_to_string(&record).is_ok_and(|sha256| sha256 == kernel.sha256) {
        return Ok(place);
    }
    let step = Step::start(&format!("kernel {}", kernel.series), "fetching Debian's package");
    let version = install(kernel, &place, &step)
        .with_context(|| format!("{} cannot be had from Debian's archive", kernel.package))?;
    fs::write(&record, &kernel.sha256).with_context(|| format!("cannot write {}", record.display()))?;
    step.done(&version);
    Ok(place)
}

/// The version of the package that it came from.
fn install(kernel: &Kernel, place: &Path, step: &Step) -> Result<String> {
    let pinned = Package::pinned(&kernel.pool_path(), &kernel.sha256)?;
    let (version, tree) = match debian::fetch_and_unpack(&pinned) {
        Err(error) if debian::is_refused(&error) => {
            let other = debian::newest(&kernel.suite, |package| kernel.is_of_series(package))?;
            step.heartbeat(&format!(
                "{} {} is gone; {} {} instead",
                kernel.package, kernel.version, other.name, other.version
            ));
            let tree = debian::fetch_and_unpack(&other)?;
            (other.version, tree)
        }
        tree => (pinned.version, tree?),
    };
    fs::create_dir_all(paths::vm()).context("cannot make target/vm")?;
    fs::rename(image_in(&tree)?, place).with_context(|| format!("cannot make {}", place.display()))?;
    fs::remove_dir_all(&tree).with_context(|| format!("cannot remove {}", tree.display()))?;
    Ok(version)
}

/// `boot/vmlinuz-<release>`, or since 6.19 `usr/lib/modules/<release>/vmlinuz`.
fn image_in(tree: &Path) -> Result<PathBuf> {
    for dir in ["boot", "usr/lib/modules", "usr/lib/linux"] {
        for entry in fs::read_dir(tree.join(dir)).into_iter().flatten() {
            let path = entry?.path();
            let is_image = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"));
            if is_image && path.is_file() {
                return Ok(path);
            }
            if path.join("vmlinuz").is_file() {
                return Ok(path.join("vmlinuz"));
            }
        }
    }
    bail!("the package has no image")
}
