//! Builds the eBPF object with the nested nightly features that stable needs, and nothing else with them.
use anyhow::{Context as _, Result, bail};
use std::path::Path;
use std::{env, process::Command};

const FIX: &str = "run `cargo xtask setup` first";

fn main() -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("memtrace is not in its workspace")?;
    let linker_dir = workspace.join("target/tools/bin");
    for input in ["memtrace-ebpf/src", "memtrace-ebpf/Cargo.toml", "memtrace-common/src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo:rerun-if-changed={}", linker_dir.join("bpf-linker").display());
    println!("cargo:rerun-if-env-changed=PATH");
    if !linker_dir.join("bpf-linker").exists() && !on_path("bpf-linker") {
        bail!("bpf-linker is not installed: {FIX}");
    }
    let sysroot = Command::new(env::var("RUSTC").unwrap_or("rustc".into())).args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists() {
        bail!("rust-src is not installed: {FIX}");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([linker_dir].into_iter().chain(env::split_paths(&path)))?;
    // SAFETY: a build script's main is its only thread. Only the nested build sees these.
    unsafe {
        env::set_var("PATH", path);
        env::set_var("RUSTC_BOOTSTRAP", "1");
    }
    let root = workspace.join("memtrace-ebpf");
    let package = aya_build::Package {
        name: "memtrace-ebpf",
        root_dir: root.to_str().context("the workspace path is not UTF-8")?,
        ..Default::default()
    };
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or("stable".into());
    aya_build::build_ebpf([package], aya_build::Toolchain::Custom(&toolchain))
        .with_context(|| format!("building the eBPF object failed; if a tool is missing, {FIX}"))
}

fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).exists()))
}
