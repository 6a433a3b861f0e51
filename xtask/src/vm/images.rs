//! Kernel images out of Debian's packages; nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::kernels::Kernel;
use crate::debian::{self, Wanted};
use crate::paths;

/// The kernel's image, at `target/vm/vmlinuz-<arch>-<series>`, unless it is there.
pub(super) fn fetch(kernel: &Kernel) -> Result<PathBuf> {
    let place = paths::vm().join(format!("vmlinuz-{}", kernel.name()));
    let wanted = Wanted {
        name: &format!("kernel {}", kernel.name()),
        package: &kernel.package,
        pool_path: &kernel.pool_path(),
        sha256: &kernel.sha256,
        place: &place,
    };
    let other = || debian::newest(&kernel.suite, kernel.arch.short_name(), |package| kernel.is_of_series(package));
    wanted.provide(other, image_in)?;
    Ok(place)
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
