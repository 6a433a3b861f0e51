//! Recordings as others read them: one SQL text in DuckDB and in ClickHouse's engine, which must say the same.
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const ENGINES: [&str; 2] = ["duckdb", "chdb"];

fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rows of a query of `recordings`, which are the files that `glob` means.
#[track_caller]
pub fn rows(glob: &str, sql: &str) -> Vec<Vec<Value>> {
    // Both at once: each takes a second to start.
    let [of_duckdb, of_chdb]: [Vec<Vec<Value>>; 2] =
        ENGINES.map(|engine| (engine, started(engine, glob, sql))).map(|(engine, python)| {
            let ended = python.wait_with_output().expect("an end");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{engine} refuses {sql}: {said}");
            serde_json::from_slice(&ended.stdout).unwrap_or_else(|why| panic!("{engine}: {why}: {said}"))
        });
    assert_eq!(of_duckdb, of_chdb, "DuckDB and chdb differ: {sql}");
    of_duckdb
}

/// A query of `deploy/queries`.
#[track_caller]
pub fn shipped(glob: &str, query: &str) -> Vec<Vec<Value>> {
    let path = home().join("deploy/queries").join(query);
    rows(glob, &std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display())))
}

fn started(engine: &str, glob: &str, sql: &str) -> Child {
    let engines = home().join("target/engines");
    assert!(engines.join("wheels").exists(), "{} is missing: cargo xtask services fetches it", engines.display());
    let mut python = Command::new("python3");
    python.arg(home().join("tests/engines/query.py")).args([engine, glob]).env("PYTHONPATH", engines);
    let piped = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = piped.spawn().expect("python3");
    python.stdin.take().expect("a pipe").write_all(sql.as_bytes()).expect("a reader");
    python
}
