//! One process, its profiles, dossiers; who may read.
use crate::agent;
use memtrace_tests::{Memtrace, PAGE, Pages, Serving, quiet_truth, wait_until};
use serde_json::{Value, json};
use std::fs;

#[test]
fn one_process_is_told_with_its_timeline_and_its_waterfall() {
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let agent = agent(&["-p", &pages.pid().to_string()]);
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p", "madvise 0p 300p dontneed"]);
    let path = format!("/api/v1/processes/{}", pages.pid());
    let resident = pages.rss();
    let told = wait_until("a point and a close look since", || {
        let told = agent.json(&path);
        let newest = told["timeline"]["signals"]["rss_bytes"].as_array().and_then(|of| of.last()?.as_u64());
        (newest == Some(resident) && told["waterfall"]["start"].is_object()).then_some(told)
    });
    assert_eq!((&told["schema"], &told["pid"]), (&"memtrace.process/1".into(), &pages.pid().into()));
    assert_eq!(told["returned_bytes"], 300 * PAGE);
    let points = told["timeline"]["t_ns"].as_array().expect("times").len();
    assert_eq!(told["timeline"]["signals"]["rss_bytes"].as_array().map(Vec::len), Some(points));
    assert_eq!(agent.json(&path.replace("/api/v1", ""))["schema"], "memtrace.process/1");
}

#[test]
fn profiles_are_those_of_the_command_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut truth = quiet_truth();
    truth.all(&["alloc 8", "gc"]);
    let agent = agent(&["-p", &truth.pid().to_string()]);
    for of in ["goroutines", "heap"] {
        let path = format!("/api/v1/processes/{}/{of}", truth.pid());
        let pprof = agent.raw(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        let (head, body) = pprof.split_at(pprof.windows(4).position(|four| four == b"\r\n\r\n").expect("a body") + 4);
        let head = String::from_utf8_lossy(head).into_owned();
        if !head.starts_with("HTTP/1.0 200 ") {
            // Of a program that never uses it the linker takes the heap profile away.
            let why = String::from_utf8_lossy(body);
            assert!(of == "heap" && why.contains("no profiling data"), "{of}: {head}{why}");
            continue;
        }
        let saved = directory.path().join(of);
        fs::write(&saved, body).expect("written");
        let arguments = [of, "-p", &truth.pid().to_string(), "--diff", saved.to_str().expect("UTF-8")];
        // Nothing has grown since: they are the same.
        assert_eq!(Memtrace::json(&arguments)["groups"], json!([]), "{of}");
    }
    // Of others nothing is told.
    assert_eq!(agent.get(&format!("/api/v1/processes/{}/goroutines", std::process::id())).0, 404);
}

#[test]
fn dossiers_are_served_as_they_were_saved() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = directory.path().to_str().expect("UTF-8");
    let (truth, other) = (quiet_truth(), quiet_truth());
    let pid = truth.pid();
    let agent = Serving::start(&["-p", &format!("{pid},{}", other.pid()), "--dir", at]);
    assert_eq!(agent.json("/api/v1/oom"), json!({"schema": "memtrace.oom_list/1", "dossiers": []}));
    truth.kill();
    let list = wait_until("the dossier", || {
        let list = agent.json("/api/v1/oom");
        list["dossiers"].as_array().is_some_and(|all| all.len() == 1).then_some(list)
    });
    let row = &list["dossiers"][0];
    assert_eq!((&row["pid"], &row["trigger"]), (&pid.into(), &"kill".into()), "{list}");
    let id = row["id"].as_str().expect("an id");
    let shown: Value = Memtrace::json(&["oom", "show", id, "--dir", at]);
    assert_eq!(agent.json(&format!("/api/v1/oom/{id}")), shown);
    assert_eq!(agent.get("/api/v1/oom/20991231").0, 404);
}

#[test]
fn the_api_describes_itself() {
    let truth = quiet_truth();
    let agent = agent(&["-p", &truth.pid().to_string()]);
    let api = agent.json("/openapi.json");
    assert_eq!(api["openapi"], "3.1.0");
    for (path, item) in api["paths"].as_object().expect("paths") {
        let path = path.replace("{pid}", &truth.pid().to_string()).replace("{id}", "none");
        let answer = agent.raw(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes());
        let head = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        let status = head.split(' ').nth(1).expect("a status");
        assert!(item["get"]["responses"][status].is_object(), "{path}: {head}");
    }
}

#[test]
fn who_has_no_token_reads_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let [config, token] = ["memtrace.toml", "token"].map(|name| directory.path().join(name));
    fs::write(&token, "sesame-sesame-sesame\n").expect("written");
    fs::write(&config, format!("[http]\ntoken_file = {token:?}\n")).expect("written");
    let truth = quiet_truth();
    let config = config.to_str().expect("UTF-8");
    let agent = Serving::start_at("0.0.0.0:0", &["--no-save", "--config", config, "-p", &truth.pid().to_string()]);
    for (header, status) in [
        ("", " 401 "),
        ("Authorization: Bearer open-open-open-open\r\n", " 401 "),
        ("Authorization: Bearer sesame-sesame-sesame\r\n", " 200 "),
    ] {
        for (path, status) in [("/healthz", " 200 "), ("/metrics", status), ("/api/v1/processes", status)] {
            let answer = agent.raw(format!("GET {path} HTTP/1.1\r\nHost: any.example\r\n{header}\r\n").as_bytes());
            let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
            assert!(line.contains(status), "{path}, {header:?}: {line}");
        }
    }
}
