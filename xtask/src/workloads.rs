//! The programs under `tests/workloads`: those in Go are built with the toolchain that setup provides.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;

/// The toolchain; a stable path, whatever lies behind it.
pub(crate) fn go_binary() -> PathBuf {
    paths::tools().join("go/bin/go")
}

/// `go build` of one package, or of all with `./...`, into `target/workloads`.
pub(crate) fn build(package: &str) -> Command {
    let output = match package {
        "./..." => paths::workloads().join(""),
        one => paths::workloads().join(Path::new(one).file_name().unwrap_or_default()),
    };
    let mut go = go(&paths::root().join("tests/workloads"));
    go.args(["build", "-o"]).arg(output).arg(package);
    go
}

/// The one in C.
pub(crate) fn build_native() -> Command {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-Werror", "-o"]).arg(paths::workloads().join("patterns-native"));
    gcc.arg(paths::root().join("tests/workloads/native/patterns.c"));
    gcc
}

/// One package for another machine, as Go calls it, at `target/workloads/<arch>/`.
pub(crate) fn build_for(arch: &str, package: &str) -> Command {
    let mut go = go(&paths::root().join("tests/workloads"));
    go.env("GOARCH", arch).args(["build", "-o"]).arg(paths::workloads().join(arch).join("")).arg(package);
    go
}

/// The toolchain at work in a module.
pub(crate) fn go(module: &Path) -> Command {
    let mut go = Command::new(go_binary());
    go.current_dir(module);
    go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-mod=mod");
    // An inherited GOROOT would mix two toolchains.
    go.env_remove("GOROOT").env("GOCACHE", paths::root().join("target/go-cache"));
    go
}
