use super::*;
use crate::aggregate::ProcessInfo;
use crate::dossier::{BlackBox, BlackBoxConfig, Living};
use crate::snapshot::ProcessSnapshot;
use crate::timeline::{Point, TimelineConfig};
use std::io::{Read as _, Write as _};
use std::net::TcpStream as StdStream;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Knows process 42, and how often it was asked.
struct Fake {
    ready: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    room: bool,
}

impl Sources for Fake {
    fn is_ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn present(&self, to: oneshot::Sender<Box<Present>>) -> bool {
        self.asked.fetch_add(1, Relaxed);
        let process = ProcessSnapshot { pid: Some(42), returned_bytes: Some(4096), ..ProcessSnapshot::default() };
        let processes = vec![Living { process, ..Living::default() }];
        self.room && to.send(Box::new(Present { t_ns: 7, processes, ..Present::default() })).is_ok()
    }

    fn portrait(&self, pid: u32, to: oneshot::Sender<Option<Box<Dossier>>>) -> bool {
        to.send(portrait(pid)).is_ok()
    }

    fn deaths(&self) -> Option<Counters> {
        None
    }

    fn profile(&self, _: u32, of: ProfileOf) -> Result<Vec<u8>, Error> {
        Ok(format!("{of:?}").into())
    }

    fn dossiers(&self, _: usize) -> Option<Vec<Document>> {
        None
    }

    fn dossier(&self, _: &str) -> Option<Document> {
        None
    }
}

/// A server, whether it is ready, and how often its sources were asked.
fn serving(config: Http, room: bool) -> (SocketAddr, Background, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(Http { listen, ..config }).unwrap();
    let (ready, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let fake = Fake { ready: Arc::clone(&ready), asked: Arc::clone(&asked), room };
    (server.address(), server.start(Arc::new(fake)).unwrap(), ready, asked)
}

fn portrait(pid: u32) -> Option<Box<Dossier>> {
    let mut black_box = BlackBox::new(BlackBoxConfig {
        start_ns: 0,
        timeline: TimelineConfig::default(),
        max_processes: 8,
        max_rss_bytes: None,
        triggers: Vec::new(),
        headroom_percent: 10,
    });
    black_box.register(ProcessInfo { target: 1, pid: 42, ..ProcessInfo::default() });
    black_box.point(1, Point::at(5));
    black_box.portrait(pid, 7)
}

/// All that comes back until the connection is closed.
fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = StdStream::connect(address).unwrap();
    let mut answer = Vec::new();
    // It may be closed before all of it is written, or reset after its answer.
    let _ = stream.write_all(request.as_bytes());
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = raw(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer:?}"));
    (head["HTTP/1.1 ".len()..][..3].parse().unwrap(), body.to_owned())
}

#[test]
fn each_path_has_its_answer() {
    let (address, serving, ready, _) = serving(Http::default(), true);
    assert_eq!(get(address, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz").0, 503);
    ready.store(true, Relaxed);
    assert_eq!(get(address, "/readyz").0, 200);
    let (status, metrics) = get(address, "/metrics");
    assert!(status == 200 && metrics.contains("\nmemtrace_returned_bytes_total{pid=\"42\"} 4096\n"), "{metrics}");
    let (status, list) = get(address, "/api/v1/processes");
    assert!(status == 200 && list.starts_with("{\"schema\":\"memtrace.processes/1\",\"t_ns\":7,"), "{list}");
    let (status, one) = get(address, "/api/v1/processes/42");
    assert!(status == 200 && one.starts_with("{\"schema\":\"memtrace.process/1\",\"t_ns\":7,"), "{one}");
    assert!(one.contains("\"pid\":42,") && one.contains("\"timeline\":{\"t_ns\":[5]"), "{one}");
    assert_eq!(get(address, "/api/v1/processes/42/heap"), (200, "Heap".to_owned()));
    assert_eq!(get(address, "/processes/42/goroutines"), (200, "Goroutines".to_owned()));
    // It is known to the black box, which is to say to nobody else.
    assert_eq!(get(address, "/api/v1/processes/43/heap").0, 404);
    assert_eq!(
        get(address, "/api/v1/oom"),
        (404, "no dossiers are saved: memtrace was started with --no-save\n".to_owned())
    );
    let (status, openapi) = get(address, "/openapi.json");
    assert!(status == 200 && openapi.contains("\"/api/v1/processes/{pid}/heap\":{\"get\":"), "{openapi}");
    for path in ["/", "/metrics/", "/api/v1/processes/", "/api/v1/processes/43", "/api/v1/processes/-1", "/healthz2"] {
        assert_eq!(get(address, path).0, 404, "{path}");
    }
    let refused = raw(address, "POST /metrics HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 0\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.to_lowercase().contains("allow: get, head"), "{refused}");
    let head = raw(address, "HEAD /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    drop(serving);
    assert!(StdStream::connect(address).is_err(), "it has ended");
}

#[test]
fn what_is_no_request_is_refused_and_the_next_is_served() {
    let (address, _serving, ..) = serving(Http::default(), true);
    let long = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_REQUEST_BYTES));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MAX_HEADERS + 1));
    for (request, statuses) in
        [("\0\0\0\r\n\r\n", ["400"; 2]), ("GET\r\n\r\n", ["400"; 2]), (&long, ["431"; 2]), (&many, ["431", "400"])]
    {
        let answer = raw(address, request);
        // A reset that overtakes the answer takes it away: only of the long ones.
        let is_cut = answer.is_empty() && request.len() > MAX_REQUEST_BYTES;
        assert!(is_cut || statuses.iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status} "))), "{answer}");
        assert_eq!(get(address, "/healthz").0, 200);
    }
}

#[test]
fn connections_are_bounded_in_number_and_time() {
    let request_timeout = Duration::from_millis(300);
    let (address, _serving, ..) = serving(Http { max_connections: 2, request_timeout, ..Http::default() }, true);
    let mut slow: Vec<StdStream> = (0..2).map(|_| StdStream::connect(address).unwrap()).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"GET /healthz HTTP/1.1\r\nX:").unwrap());
    assert_eq!(raw(address, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "", "there is no room for a third");
    for mut stream in slow {
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn who_asks_too_often_or_when_there_is_no_room_does_not_hold_up_the_processing() {
    let (address, _serving, _, asked) = serving(Http::default(), true);
    let begun = std::time::Instant::now();
    (0..20).for_each(|_| assert_eq!(get(address, "/metrics").0, 200));
    let most = begun.elapsed().as_millis() / 100 + 1;
    assert!(asked.load(Relaxed) as u128 <= most, "{asked:?} in {most} tenths of a second");
    let (address, _serving, ..) = serving(Http::default(), false);
    assert_eq!(get(address, "/metrics").0, 503);
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn an_address_that_is_taken_is_said_in_one_line() {
    let held = StdListener::bind("127.0.0.1:0").unwrap();
    let listen = held.local_addr().unwrap();
    let said = Server::bind(Http { listen, ..Http::default() }).unwrap_err().to_string();
    assert!(said.starts_with(&format!("cannot listen on {listen}: ")) && !said.contains('\n'), "{said}");
}
