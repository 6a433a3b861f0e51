//! `cargo xtask matrix`: the program `tests/workloads/matrix`, built by every release of [`toolchains::MATRIX`] in every
//! build mode, and the one below it in one, at `target/matrix/<release>/<variant>/program`. What is there and was built
//! from the same is left alone.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::{env, fs, thread};

use anyhow::{Context, Error, Result, anyhow};

use crate::progress::Step;
use crate::{paths, proc, toolchains};

/// A build mode.
struct Variant {
    name: &'static str,
    package: &'static str,
    cgo: bool,
    arch: &'static str,
    flags: &'static [&'static str],
}

const MAIN: &str = ".";
const STRIP: &str = "-ldflags=-s -w";
const VARIANTS: &[Variant] = &[
    Variant { name: "plain", package: MAIN, cgo: false, arch: "amd64", flags: &[] },
    Variant { name: "stripped", package: MAIN, cgo: false, arch: "amd64", flags: &[STRIP] },
    Variant { name: "pie", package: MAIN, cgo: false, arch: "amd64", flags: &["-buildmode=pie", STRIP] },
    Variant { name: "cgo", package: MAIN, cgo: true, arch: "amd64", flags: &[STRIP] },
    Variant { name: "race", package: MAIN, cgo: true, arch: "amd64", flags: &["-race", STRIP] },
    Variant { name: "noopt", package: MAIN, cgo: false, arch: "amd64", flags: &["-gcflags=all=-N -l", STRIP] },
    Variant { name: "shared", package: MAIN, cgo: true, arch: "amd64", flags: &["-buildmode=c-shared", STRIP] },
    Variant { name: "arm64", package: MAIN, cgo: false, arch: "arm64", flags: &[] },
    Variant { name: "arm64-stripped", package: MAIN, cgo: false, arch: "arm64", flags: &[STRIP] },
    Variant { name: "profiled", package: "./profiled", cgo: false, arch: "amd64", flags: &["-buildmode=pie", STRIP] },
];

pub(crate) fn main() -> Result<ExitCode> {
    build()?;
    Ok(ExitCode::SUCCESS)
}

/// All of it; releases side by side, since variants of one share what is compiled.
pub(crate) fn build() -> Result<()> {
    if env::consts::ARCH != "x86_64" {
        return Err(anyhow!("the matrix is built and run on x86_64"));
    }
    let step = Step::start("matrix", "building the test program with every release of Go (minutes the first time)");
    let sources = sources(&home())? + &sources(&home().join("profiled"))?;
    let left = Mutex::new(toolchains::MATRIX.iter().copied().collect::<VecDeque<_>>());
    let outcome = Mutex::new((0, None::<Error>));
    let work = || {
        while let Some(release) = next(&left) {
            let built = release_of(release, &sources);
            let mut outcome = locked(&outcome);
            match built.with_context(|| format!("Go {release}")) {
                Ok(count) => outcome.0 += count,
                Err(error) => {
                    outcome.1.get_or_insert(error);
                    locked(&left).clear();
                }
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let host = build_host()?;
    match outcome.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        (_, Some(error)) => Err(error),
        (built, None) => {
            let all = toolchains::MATRIX.len() * VARIANTS.len() + 1;
            step.done(&format!("{} of {all} programs built", built + host));
            Ok(())
        }
    }
}

fn next(left: &Mutex<VecDeque<&'static str>>) -> Option<&'static str> {
    locked(left).pop_front()
}

/// A worker that has panicked ends the whole in any case.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn home() -> PathBuf {
    paths::root().join("tests/workloads/matrix")
}

/// Builds all variants; how many were not there.
fn release_of(release: &str, sources: &str) -> Result<usize> {
    let mut built = 0;
    for variant in VARIANTS {
        let program = paths::matrix().join(release).join(variant.name).join("program");
        let mut go = toolchains::go(release)?;
        go.current_dir(home()).args(["build", "-o"]).arg(&program).args(variant.flags).arg(variant.package);
        go.env("CGO_ENABLED", if variant.cgo { "1" } else { "0" }).env("GOARCH", variant.arch);
        let made = make(&mut go, &program, sources).with_context(|| variant.name.to_owned())?;
        built += usize::from(made);
    }
    Ok(built)
}

/// The C program that loads the library variants.
fn build_host() -> Result<usize> {
    let program = paths::matrix().join("host");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-Wall", "-Werror", "-o"]).arg(&program).arg(home().join("host/host.c")).arg("-ldl");
    let made = make(&mut gcc, &program, &sources(&home().join("host"))?);
    made.map(usize::from).context("the C program around a Go library (Debian: apt-get install gcc libc6-dev)")
}

/// Runs `command` unless its `output` was made by the same command from the same sources; whether it ran.
pub(crate) fn make(command: &mut Command, output: &Path, sources: &str) -> Result<bool> {
    let record = output.with_extension("built-from");
    let wanted = format!("{command:?}\n{sources}");
    if output.is_file() && fs::read_to_string(&record).is_ok_and(|built| built == wanted) {
        return Ok(false);
    }
    if let Some(dir) = output.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    proc::capture(command)?;
    fs::write(&record, wanted).with_context(|| format!("cannot write {}", record.display()))?;
    Ok(true)
}

/// Names and contents of the files in a directory.
fn sources(dir: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_file() {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            files.push(format!("{}\n{text}", path.display()));
        }
    }
    files.sort();
    Ok(files.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_made_again() {
        let dir = env::temp_dir().join(format!("xtask-make-{}", std::process::id()));
        let output = dir.join("out");
        let touch = || {
            let mut command = Command::new("touch");
            command.arg(&output);
            command
        };
        assert!(make(&mut touch(), &output, "a").unwrap());
        assert!(!make(&mut touch(), &output, "a").unwrap());
        assert!(make(&mut touch(), &output, "b").unwrap());
        assert!(make(touch().env("X", "1"), &output, "b").unwrap());
        fs::remove_file(&output).unwrap();
        assert!(make(touch().env("X", "1"), &output, "b").unwrap());
        assert!(make(&mut Command::new("false"), &output, "c").is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
