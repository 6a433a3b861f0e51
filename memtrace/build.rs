//! Builds the eBPF object. The BPF target has no prebuilt `core`, so the nested build needs `-Z build-std`, which stable
//! allows with RUSTC_BOOTSTRAP=1: set for that one process and nothing else.
use anyhow::{Context as _, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::{env, fs, process::Command};

const FIX: &str = "run `cargo xtask setup` first";
const OBJECT: &str = "memtrace-ebpf";

fn main() {
    // Not through main's Result: with RUST_BACKTRACE set the command to run would drown in frames.
    if let Err(e) = build() {
        eprintln!("{e:#}");
        std::process::exit(1);
    }
}

fn build() -> Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").context("no OUT_DIR")?);
    // The fuzz targets load no programs.
    if env::var_os("CARGO_CFG_FUZZING").is_some() {
        return fs::write(out.join(OBJECT), []).context("cannot write the object");
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("memtrace is not in its workspace")?;
    let tools = workspace.join("target/tools/bin");
    for input in ["memtrace-ebpf/src", "memtrace-ebpf/Cargo.toml", "memtrace-common/src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo:rerun-if-changed={}", tools.join("bpf-linker").display());
    check_tools(&tools)?;
    // Beside the profiles, so that dev, release and clippy share one build: target/<profile>/build/<package>/out, with a
    // directory of the triple above the profile where cargo was told one.
    let beside = out.ancestors().nth(4).unwrap_or(&out);
    let of_triple = env::var_os("TARGET").is_some_and(|triple| beside.ends_with(triple));
    let target_dir = beside.parent().filter(|_| of_triple).unwrap_or(beside).join("ebpf");
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let triple =
        if env::var("CARGO_CFG_TARGET_ENDIAN")? == "big" { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([tools].into_iter().chain(env::split_paths(&path)))?;
    let flags = [&format!("--cfg=bpf_target_arch=\"{arch}\""), "-Cdebuginfo=2", "-Clink-arg=--btf"].join("\x1f");
    let mut cargo = Command::new(env::var_os("CARGO").context("no CARGO")?);
    cargo.current_dir(workspace).args(["build", "--quiet", "--release", "--package", OBJECT, "--bins"]);
    cargo.args(["--target", triple, "-Z", "build-std=core", "--target-dir"]).arg(&target_dir);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("PATH", path).env("CARGO_ENCODED_RUSTFLAGS", flags);
    for outer in ["RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
        cargo.env_remove(outer);
    }
    let built = cargo.output().context("cannot run cargo")?;
    ensure!(
        built.status.success(),
        "building the eBPF object failed (if a tool is missing, {FIX}):\n{}",
        String::from_utf8_lossy(&built.stderr)
    );
    let object = target_dir.join(triple).join("release").join(OBJECT);
    fs::copy(&object, out.join(OBJECT)).with_context(|| format!("no {}", object.display()))?;
    Ok(())
}

/// One line with the command to run, before cargo says something stranger.
fn check_tools(tools: &Path) -> Result<()> {
    let on_path = |program: &str| {
        env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join(program).exists()))
    };
    if !tools.join("bpf-linker").exists() && !on_path("bpf-linker") {
        bail!("bpf-linker is not installed: {FIX}");
    }
    let rustc = env::var_os("RUSTC").unwrap_or("rustc".into());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().context("cannot run rustc")?;
    let sysroot = String::from_utf8(sysroot.stdout)?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").exists() {
        bail!("rust-src is not installed: {FIX}");
    }
    Ok(())
}
