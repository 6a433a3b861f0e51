//! `memtrace agent`: what it serves is what the programs themselves count, and it serves on whatever it is sent.
mod api;
mod churn;
mod restart;
mod rights;
mod settings;
mod sums;
mod tls;

use memtrace_tests::{Memtrace, PAGE, Pages, Serving, assert_account, quiet_truth, wait_until};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// That saves nothing.
#[track_caller]
fn agent(arguments: &[&str]) -> Serving {
    Serving::start(&[&["--no-save"], arguments].concat())
}

/// The value of the one series with this name and label; `None`: there is none.
#[track_caller]
fn value(metrics: &str, name: &str, label: &str) -> Option<f64> {
    one(metrics, |line| line.starts_with(&format!("{name}{{")) && line.contains(label))
}

/// The value of the one series that begins so.
#[track_caller]
fn series(metrics: &str, beginning: &str) -> Option<f64> {
    one(metrics, |line| line.starts_with(beginning))
}

#[track_caller]
fn one(metrics: &str, is_meant: impl Fn(&str) -> bool) -> Option<f64> {
    let found: Vec<&str> = metrics.lines().filter(|line| is_meant(line)).collect();
    assert!(found.len() <= 1, "{found:?}");
    let value = found.first()?.rsplit(' ').next().expect("a value");
    Some(value.parse().unwrap_or_else(|error| panic!("{found:?}: {error}")))
}

#[test]
fn what_is_served_is_what_the_programs_count() {
    let mut truth = quiet_truth();
    let mut pages = Pages::start(env!("CARGO_BIN_EXE_pages"), &[]);
    let pids = [truth.pid(), pages.pid()];
    let agent = agent(&["-p", &pids.map(|pid| pid.to_string()).join(",")]);
    assert_eq!(agent.ok("/healthz"), "ok\n");
    agent.until_ready();
    let [of_truth, of_pages] = pids.map(|pid| format!("pid=\"{pid}\""));

    // The heap, by the program's own count.
    truth.all(&["alloc 24", "free", "gc", "alloc 8"]);
    let (said, ()) = truth.compare(|| ());
    for (name, key) in [
        ("memtrace_go_heap_inuse_bytes", "heap_inuse_bytes"),
        ("memtrace_go_heap_idle_bytes", "heap_idle_bytes"),
        ("memtrace_go_heap_released_bytes", "heap_released_bytes"),
        ("memtrace_go_gc_cycles_total", "num_gc"),
    ] {
        let counted = said[key].as_f64().expect("a number");
        // A point is up to a second old.
        wait_until(&format!("{name} to be {counted}"), || {
            (value(&agent.ok("/metrics"), name, &of_truth) == Some(counted)).then_some(())
        });
    }

    // The ledger, to the page.
    pages.all(&["mmap 0p 1024p", "madvise 0p 1024p nohugepage", "write 0p 1024p"]);
    pages.all(&["madvise 0p 300p dontneed", "write 0p 70p"]);
    let metrics = wait_until("the re-faults", || {
        let metrics = agent.ok("/metrics");
        let refaulted = value(&metrics, "memtrace_refaulted_bytes_total", &of_pages);
        assert!(refaulted <= Some((70 * PAGE) as f64), "{refaulted:?}");
        (refaulted == Some((70 * PAGE) as f64)).then_some(metrics)
    });
    let of = |name| value(&metrics, name, &of_pages);
    assert_eq!(of("memtrace_returned_bytes_total"), Some((300 * PAGE) as f64));
    assert_eq!(of("memtrace_kept_bytes"), Some((230 * PAGE) as f64));
    assert_eq!(of("memtrace_go_heap_inuse_bytes"), None, "no Go program has no heap, not one of 0 bytes");
    assert!(of("memtrace_process_resident_memory_bytes") > Some(0.0));

    // memtrace itself, and its losses.
    for name in ["memtrace_self_resident_memory_bytes", "memtrace_self_cpu_seconds_total", "memtrace_self_open_fds"] {
        let own = series(&metrics, &format!("{name} "));
        assert!(own > Some(0.0), "{name}: {own:?}");
    }
    let probes = |name: &str| metrics.lines().filter(|line| line.starts_with(&format!("{name}{{probe="))).count();
    assert!(probes("memtrace_probe_hits_total") > 5, "{metrics}");
    assert!(!metrics.contains("memtrace_deaths_total"), "nothing is saved");

    // The same in JSON.
    let list = agent.json("/api/v1/processes");
    assert_eq!(list["schema"], "memtrace.processes/1");
    let listed: Vec<&Value> = list["processes"].as_array().expect("a list").iter().map(|of| &of["pid"]).collect();
    assert_eq!(listed, pids.iter().collect::<Vec<_>>());
    assert_eq!(list["processes"][0]["go_version"], truth.go_version);
    assert_eq!(list["processes"][0]["heap_inuse_bytes"], said["heap_inuse_bytes"]);
    let one = agent.json(&format!("/api/v1/processes/{}", pages.pid()));
    assert_eq!((&one["returned_bytes"], &one["refaulted_bytes"]), (&(300 * PAGE).into(), &(70 * PAGE).into()), "{one}");
    assert_eq!(one["advise"]["dontneed"]["calls"], 1, "{one}");

    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let account = ended.json().pop().expect("an account");
    assert_account(&account);
    assert_eq!(account["account"]["lost"], 0, "{account}");
}

#[test]
fn whatever_it_is_sent_it_serves_on() {
    let truth = quiet_truth();
    let pid = truth.pid().to_string();
    let agent = agent(&["-p", &pid]);
    for path in ["/", "/metric", "/api/v1/processes/1", "/api/v1/processes/x", "/api/v1/processes/99999999999"] {
        assert_eq!(agent.get(path).0, 404, "{path}");
    }
    let post = agent.raw(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with(b"HTTP/1.1 405 "), "{}", post.escape_ascii());
    // A page in somebody's browser that has its own name lead here.
    let rebound = agent.raw(b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(rebound.starts_with(b"HTTP/1.1 421 "), "{}", rebound.escape_ascii());
    for malformed in [b"\0\r\n\r\n".as_slice(), b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"G\xff / HTTP/1.1\r\n\r\n"]
    {
        let answer = agent.raw(malformed);
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{malformed:?}: {}", answer.escape_ascii());
    }
    // More than may be open at once, half of them in the middle of a request.
    let idle: Vec<TcpStream> = (0..64)
        .map(|n| {
            let mut stream = TcpStream::connect(&agent.address).expect("a connection");
            // It may be closed already.
            let _ = if n % 2 == 0 { stream.write_all(b"GET /metrics HTTP/1.1\r\n") } else { Ok(()) };
            stream
        })
        .collect();
    drop(idle);
    let healthy = || agent.raw(b"GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n").starts_with(b"HTTP/1.1 200 ");
    wait_until("room", || healthy().then_some(()));
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}

/// The same at every run; xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// A request of which some bytes are others, and after which nothing comes.
fn garbled(agent: &Serving, state: &mut u64) -> Vec<u8> {
    let mut request = b"GET /api/v1/processes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7\r\n\r\n".to_vec();
    for _ in 0..1 + random(state) % 8 {
        let at = random(state) as usize % request.len();
        request[at] = random(state) as u8;
    }
    request.truncate(1 + random(state) as usize % request.len());
    let mut answer = Vec::new();
    if let Ok(mut stream) = TcpStream::connect(&agent.address) {
        // It may be closed already.
        let sent = stream.write_all(&request).and_then(|()| stream.shutdown(Shutdown::Write));
        let _ = sent.and_then(|()| stream.read_to_end(&mut answer));
    }
    answer
}

#[test]
fn hostile_clients_neither_make_it_grow_nor_keep_it_from_answering() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("memtrace.toml");
    std::fs::write(&config, "[http]\nrequest_timeout = \"1s\"\n").expect("written");
    let truth = quiet_truth();
    let agent = agent(&["--config", config.to_str().expect("UTF-8"), "-p", &truth.pid().to_string()]);
    agent.until_ready();
    let resident = || series(&agent.ok("/metrics"), "memtrace_self_resident_memory_bytes ").expect("its own RSS");
    let mut state = 1;
    (0..200).for_each(|_| drop(garbled(&agent, &mut state)));
    let before = resident();
    for _ in 0..3000 {
        let answer = garbled(&agent, &mut state);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{}", answer.escape_ascii());
    }
    // Thousands, of which none says all that it has to say.
    for _ in 0..20 {
        let slow: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(&agent.address).ok()).collect();
        slow.iter().for_each(|mut stream| drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ")));
    }
    let slow: Vec<TcpStream> = (0..64).filter_map(|_| TcpStream::connect(&agent.address).ok()).collect();
    slow.iter().for_each(|mut stream| drop(stream.write_all(b"GET / HTTP/1.1\r\n")));
    let healthy = || agent.raw(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").starts_with(b"HTTP/1.1 200 ");
    // They are still there: their time ends.
    wait_until("an answer", || healthy().then_some(()));
    let grown = resident() - before;
    assert!(grown <= f64::from(8 << 20), "{grown} bytes more than {before}");
    drop(slow);
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}

#[test]
fn an_address_that_others_reach_is_refused_unless_it_is_meant() {
    for arguments in [["--listen", "0.0.0.0:0"], ["--listen", "[::]:0"]] {
        let ended = Memtrace::run(&[&["agent"], arguments.as_slice()].concat());
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{}", ended.stderr);
        assert!(ended.stderr.contains("no loopback address"), "{}", ended.stderr);
    }
    let printed = Memtrace::run(&["agent", "--listen", "0.0.0.0:0", "--listen-anywhere", "--print-config"]);
    assert_eq!(printed.code(), Some(0), "{}", printed.stderr);
    for line in ["[http]", "listen = \"0.0.0.0:0\"", "allow_any_address = true"] {
        assert!(printed.lines.iter().any(|printed| printed == line), "{line}: {:?}", printed.lines);
    }
}
