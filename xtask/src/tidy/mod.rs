//! `cargo xtask tidy`: the import law and the size caps of the design, checked by machine.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::paths;

mod check;
mod law;
mod source;

/// One line of output: `path:line: rule`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

pub(crate) fn main() -> Result<ExitCode> {
    let violations = check()?;
    for violation in &violations {
        println!("{violation}");
    }
    eprintln!("tidy: {} violations", violations.len());
    Ok(if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every violation in the workspace, in order.
pub(crate) fn check() -> Result<Vec<Violation>> {
    let root = paths::root();
    let mut files = Vec::new();
    for room in law::ROOMS {
        rust_files(&root.join(room), &mut files)?;
    }
    let mut violations = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let path = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        violations.extend(check::file(&path, &text));
    }
    violations.sort();
    Ok(violations)
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
