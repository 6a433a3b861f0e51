//! Go programs that their own runtime ends, and what memtrace says of it.
use crate::matrix::{built, start};
use crate::{Child, Memtrace};
use serde_json::Value;
use std::process::Command;

/// What a program of the matrix may still map when it is about to end.
const SPARE_BYTES: u64 = 128 << 20;

/// How a program of the matrix is ended: the command, and what its runtime says.
const ENDS: [(&str, &str, &str); 3] = [
    ("ungo", "panic", "close of nil channel"),
    // The value is an error.
    ("reserve 999999999", "panic", "cannot allocate memory"),
    ("grow 65536", "throw", "out of memory"),
];

/// Ends programs of the matrix (release, variant) in each way; each is told once, with what it said.
#[track_caller]
pub fn ended_by_their_runtimes(programs: &[(&str, &str)]) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut running: Vec<(Child, &str, (&str, &str, &str))> = Vec::new();
    for (release, variant) in programs {
        // C's part of a program may be the first that gets no memory.
        for end in ENDS.into_iter().filter(|(_, error, _)| *variant != "cgo" || *error == "panic") {
            let program = start(&mut Command::new(built(release, variant)));
            program.bound_address_space(SPARE_BYTES);
            running.push((program, release, end));
        }
    }
    let pids: Vec<String> = running.iter().map(|(program, ..)| program.pid().to_string()).collect();
    let memtrace = Memtrace::watching(directory.path(), &["-p", &pids.join(",")]);
    for (program, release, (command, ..)) in &mut running {
        program.say(command);
        assert_eq!(program.end().code(), Some(2), "{release}: {command}: {}", program.rest().1);
    }
    let ended = memtrace.end();
    let mut told = ended.lines_before_the_account();
    told.retain(|line| line["kind"] == "dossier");
    assert_eq!(told.len(), running.len(), "{}", ended.stderr);
    for (program, release, (_, error, message)) in &running {
        let dossier = told.iter().find(|dossier| dossier["victim"]["pid"] == program.pid());
        assert_said(dossier.unwrap_or_else(|| panic!("{release}: {message}: not told")), error, message);
    }
}

/// The dossier of a program that its runtime ended, saying this.
#[track_caller]
fn assert_said(dossier: &Value, error: &str, message: &str) {
    let said = &dossier["go_said"];
    assert_eq!((&said["error"], &said["message"]), (&error.into(), &message.into()), "{dossier:#}");
    let is_refused = message == "out of memory";
    let cause = if is_refused { "go_out_of_memory" } else { "fatal" };
    assert_eq!((&dossier["trigger"], &dossier["cause"]), (&"fatal".into(), &cause.into()), "{dossier:#}");
    assert_eq!(dossier["victim"]["exit_code"], 2, "{dossier:#}");
    let evidence = dossier["verdict"]["evidence"][0]["text"].as_str().unwrap_or_default();
    assert_eq!(evidence.starts_with("the kernel refused the Go runtime memory"), is_refused, "{dossier:#}");
    let functions: Vec<&str> =
        said["stack"].as_array().expect("a stack").iter().filter_map(|frame| frame["function"].as_str()).collect();
    assert!(functions.iter().any(|name| name.starts_with("main.")), "{functions:?}");
    // Read in the process itself, by the probe.
    assert!(dossier["kernel"]["heap_inuse_bytes"].as_u64() > Some(0), "{dossier:#}");
    assert!(dossier["last_words"]["heap_inuse_bytes"].as_u64() > Some(0), "{dossier:#}");
    let anchors = dossier["anchors"].as_array().expect("anchors");
    let at = |what: &str| {
        let anchor = anchors.iter().find(|anchor| anchor["what"] == what);
        let anchor = anchor.unwrap_or_else(|| panic!("no {what}: {anchors:#?}"));
        assert_eq!(anchor["uncertainty_ns"], 0, "{anchor}");
        anchor["t_ns"].as_u64()
    };
    let fatal = at("go: fatal error");
    assert_eq!((fatal, &dossier["killed_at_ns"]), (said["t_ns"].as_u64(), &said["t_ns"]));
    assert!(at("runtime: statistics on its way out") >= fatal && at("kernel: process exit") > fatal, "{anchors:#?}");
}
