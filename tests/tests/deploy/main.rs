//! What is below `deploy/`: the chart renders to what Kubernetes accepts and to exactly the rights that the documents name,
//! the rules and dashboards know only metrics that there are, and the real agent runs with these rights.
//! `cargo xtask deploy` and `cargo xtask services` fetch the tools.
mod chart;
mod documents;
mod monitoring;
mod rights;
mod systemd;

use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_path_buf()
}

#[track_caller]
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|why| panic!("{path}: {why}"))
}

/// What one of the tools is, and the verb that fetches it.
#[track_caller]
fn tool(path: &str, verb: &str) -> PathBuf {
    let tool = root().join("target").join(path);
    assert!(tool.exists(), "{} is missing: cargo xtask {verb} fetches it", tool.display());
    tool
}

/// Whether it succeeded, and all that it said.
#[track_caller]
fn said(command: &mut Command, input: &str) -> (bool, String) {
    command.current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    let fed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    // A tool that refuses its arguments reads nothing.
    let _ = fed.join().expect("a thread");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("UTF-8"))
}

/// Of a command that must succeed: what it said.
#[track_caller]
fn done(command: &mut Command, input: &str) -> String {
    let (succeeded, text) = said(command, input);
    assert!(succeeded, "{command:?}: {text}");
    text
}

/// Python with the packages that `kubernetes-validate` came with: a reader of YAML among them.
fn python() -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", tool("deploy/kubernetes-validate", "deploy")).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// Every document of a YAML stream that says something.
#[track_caller]
fn yaml(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; print(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))";
    let json = done(python().args(["-c", script]), text);
    serde_json::from_str(&json).expect("JSON")
}
