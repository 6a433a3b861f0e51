//! `cargo xtask setup`: what building and testing need, installed once, checked in well under two seconds after that.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Error, Result, anyhow, bail};

use crate::progress::human;
use crate::vm;

mod golang;
mod linker;
mod rust_src;
mod tracefs;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only unpack Debian's rust-src into this sysroot: exercises the path that a rustup machine never takes
    #[arg(long, hide = true, value_name = "DIR")]
    debian_rust_src_into: Option<std::path::PathBuf>,
}

/// One thing a machine must have. `find` is fast and offline; `install` may take minutes.
struct Need {
    name: &'static str,
    by_hand: &'static str,
    /// What was found, in a few words.
    find: fn() -> Result<Option<String>>,
    install: fn() -> Result<()>,
}

const NEEDS: &[Need] = &[
    Need {
        name: "rust-src",
        by_hand: "rustup component add rust-src",
        find: rust_src::find,
        install: rust_src::install,
    },
    Need {
        name: "Go toolchain",
        by_hand: "put Go 1.26 or later on PATH",
        find: golang::find,
        install: golang::install,
    },
    // Last, because it takes by far the longest.
    Need { name: "bpf-linker", by_hand: linker::BY_HAND, find: linker::find, install: linker::install },
];

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    match &args.debian_rust_src_into {
        Some(dir) => rust_src::from_debian(dir)?,
        None => {
            ensure()?;
            // Building and tracing do without it.
            if let Err(why) = vm::provide() {
                eprintln!("setup: no virtual machines for the suites vm and vm-aarch64: {why:#}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Provides every need; the verbs that build call this first.
pub(crate) fn ensure() -> Result<()> {
    let started = Instant::now();
    let mut found = Vec::new();
    for need in NEEDS {
        let what = match (need.find)()? {
            Some(what) => what,
            None => {
                (need.install)().map_err(missing)?;
                match (need.find)()? {
                    Some(what) => what,
                    None => bail!("{} was installed but does not work; by hand: {}", need.name, need.by_hand),
                }
            }
        };
        found.push(what);
    }
    tracefs::ensure();
    eprintln!("setup: {} ({})", found.join(", "), human(started.elapsed()));
    Ok(())
}

/// One line: everything that is still missing, why, and how to get it without us.
fn missing(cause: Error) -> Error {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !matches!((need.find)(), Ok(Some(_)))).collect();
    let names: Vec<_> = missing.iter().map(|need| need.name).collect();
    let by_hand: Vec<_> = missing.iter().map(|need| need.by_hand).collect();
    anyhow!(
        "missing: {} ({cause:#}); connect this machine to the package registries and rerun `cargo xtask setup`, or by hand: {}",
        names.join(", "),
        by_hand.join("; ")
    )
}
