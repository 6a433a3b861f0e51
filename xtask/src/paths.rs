//! Where things lie. Tools always live in `<workspace>/target`, because build scripts look there;
//! cargo's own output follows `CARGO_TARGET_DIR`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The workspace root: of the cargo that runs us, else of the one that built us.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = Path::new(&manifest);
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// What setup installs.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// Downloads, and what is unpacked from them.
pub(crate) fn downloads() -> PathBuf {
    root().join("target/setup")
}

/// The full output of every step.
pub(crate) fn logs() -> PathBuf {
    root().join("target/xtask")
}

/// The built Go programs.
pub(crate) fn workloads() -> PathBuf {
    root().join("target/workloads")
}

/// A GOROOT for each release.
pub(crate) fn toolchains() -> PathBuf {
    root().join("target/toolchains")
}

/// One Go program built in many ways.
pub(crate) fn matrix() -> PathBuf {
    root().join("target/matrix")
}

/// A small Go program of each release, whose runtime is read.
pub(crate) fn layouts() -> PathBuf {
    root().join("target/layouts")
}

/// Reports of benches, and what they are made with.
pub(crate) fn bench() -> PathBuf {
    root().join("target/bench")
}

/// Go services as Debian ships them.
pub(crate) fn services() -> PathBuf {
    root().join("target/services")
}

/// What checks `deploy/`.
pub(crate) fn deploy() -> PathBuf {
    root().join("target/deploy")
}

/// What recordings are read with.
pub(crate) fn engines() -> PathBuf {
    root().join("target/engines")
}

/// Kernels, and what their virtual machines run.
pub(crate) fn vm() -> PathBuf {
    root().join("target/vm")
}

/// Cargo's output directory.
pub(crate) fn cargo_target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|owner| owner.uid() == 0)
}
