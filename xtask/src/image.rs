//! `cargo xtask image`: the container image, an OCI layout in one tarball, made without a container engine. One static binary
//! and nothing else; the same sources make the same bytes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::progress::Step;
use crate::vm::Arch;
use crate::{dist, paths, proc, setup, vm};

mod layout;

use layout::{Layout, Release};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For which machines
    #[arg(long, value_enum, num_args = 1.., default_values_t = Arch::ALL)]
    arch: Vec<Arch>,
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    setup::ensure()?;
    let release = release()?;
    let mut layout = Layout::default();
    for arch in &args.arch {
        let binary = binary(*arch)?;
        let compressed = layout.add(arch.short_name(), &release, &binary)?;
        println!("linux/{}\t{} bytes of binary\t{compressed} bytes compressed", arch.short_name(), binary.len());
    }
    let to = paths::root().join(format!("target/dist/memtrace-{}.oci.tar", release.version));
    let (tarball, digest) = layout.finish(&release)?;
    write(&to, &tarball)?;
    println!("{}\t{} bytes\t{digest}", to.display(), tarball.len());
    Ok(ExitCode::SUCCESS)
}

/// Built, proven static, without symbols.
fn binary(arch: Arch) -> Result<Vec<u8>> {
    if !arch.is_ours() {
        vm::provide_for(arch)?;
    }
    let step = Step::start("image", &format!("building memtrace, static for {} (1 to 10 minutes)", arch.name()));
    let log = format!("image-build-{}", arch.name());
    let built = dist::build_static(arch.name(), "dist", &["-p", "memtrace"], &log, &step)?.join("memtrace");
    let stripped = built.with_file_name("memtrace.stripped");
    proc::capture(Command::new(arch.tool("strip")).arg("-o").arg(&stripped).arg(&built))?;
    let elf = fs::read(&stripped).with_context(|| format!("cannot read {}", stripped.display()))?;
    if dist::names_an_interpreter(&elf).context("the binary is no 64-bit little-endian ELF file")? {
        bail!("{} is not static: it names an interpreter", built.display());
    }
    step.done("static");
    Ok(elf)
}

/// What the image says of itself. Where there is no git, it does not say of which commit it is.
fn release() -> Result<Release> {
    let git = |format: &str| {
        let mut log = Command::new("git");
        proc::capture(log.current_dir(paths::root()).args(["log", "-1", &format!("--format={format}")])).ok()
    };
    Ok(Release { version: env!("CARGO_PKG_VERSION").to_owned(), revision: git("%H"), created: git("%cI") })
}

/// Whole, or not at all.
fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let part: PathBuf = to.with_extension("part");
    let parent = to.parent().context("no directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let written = fs::File::create(&part).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| fs::rename(&part, to)).with_context(|| format!("cannot write {}", to.display()))
}
