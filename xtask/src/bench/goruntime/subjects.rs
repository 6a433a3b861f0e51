//! The Go programs that are looked at: started, answering, ended.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::super::HOUR;
use crate::progress::Step;
use crate::{paths, proc, workloads};

/// As many functions as Debian's prometheus has, in as many packages as make a compiler busy.
const PACKAGES: usize = 16;
const FUNCTIONS: usize = 4000;

/// A running `tests/workloads/bench`.
pub(super) struct Subject {
    child: Child,
    pub(super) address: String,
}

impl Subject {
    pub(super) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        for inherited in ["GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"] {
            command.env_remove(inherited);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let mut subject = Self { child, address: String::new() };
        let stdout = subject.child.stdout.take().context("no stdout")?;
        BufReader::new(stdout).read_line(&mut subject.address)?;
        subject.address = subject.address.trim().to_owned();
        if subject.address.is_empty() {
            bail!("{} ended at its start", program.display());
        }
        Ok(subject)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The workload, and `count` copies of it: other files, so that each is read by itself.
pub(super) fn build(copies: usize, step: &Step) -> Result<(PathBuf, Vec<PathBuf>)> {
    proc::quiet(&mut workloads::build("./bench"), "bench-go-build", HOUR, step)?;
    let program = paths::workloads().join("bench");
    let directory = paths::bench().join("copies");
    fs::create_dir_all(&directory).context("cannot make target/bench/copies")?;
    let copy = |number: usize| -> Result<PathBuf> {
        let place = directory.join(format!("bench{number}"));
        fs::copy(&program, &place).with_context(|| format!("cannot write {}", place.display()))?;
        Ok(place)
    };
    let copies = (0..copies).map(copy).collect::<Result<_>>()?;
    Ok((program, copies))
}

/// A stripped program with as many functions as prometheus, never run.
pub(super) fn build_large(step: &Step) -> Result<PathBuf> {
    let module = paths::bench().join("large");
    let mut main = "package main\n\nimport (\n\t\"net/http\"\n\t\"os\"\n".to_owned();
    let mut calls = String::new();
    for package in 0..PACKAGES {
        let name = format!("service{package:02}");
        let _ = writeln!(main, "\t\"example.com/organisation/program/internal/{name}\"");
        let _ = writeln!(calls, "\tfor _, f := range {name}.All {{\n\t\tsum += f(len(os.Args))\n\t}}");
        write(&module.join("internal").join(&name).join("all.go"), &source(&name))?;
    }
    let _ =
        write!(main, ")\n\nfunc main() {{\n\tsum := 0\n{calls}\thttp.ListenAndServe(\"\", nil)\n\tos.Exit(sum)\n}}\n");
    write(&module.join("main.go"), &main)?;
    write(&module.join("go.mod"), "module example.com/organisation/program\n\ngo 1.21\n")?;
    let program = module.join("program");
    let mut go = workloads::go(&module);
    go.args(["build", "-ldflags=-s -w", "-o"]).arg(&program).arg(".");
    proc::quiet(&mut go, "bench-large-build", HOUR, step)?;
    Ok(program)
}

fn source(package: &str) -> String {
    let mut text = format!("package {package}\n\nvar All = []func(int) int{{\n");
    for number in 0..FUNCTIONS {
        let _ = writeln!(text, "\thandleRequestOfKind{number:04},");
    }
    text.push_str("}\n");
    for number in 0..FUNCTIONS {
        let _ = writeln!(text, "\nfunc handleRequestOfKind{number:04}(n int) int {{ return n*{number} + n }}");
    }
    text
}

/// Leaves alone what is the same already.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let parent = path.parent().context("no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
