//! Services as Debian ships them: `cargo xtask services` fetches them.
use crate::child::Child;
use crate::wait::wait_until;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A running service; ends when dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    port: u16,
    _data: TempDir,
}

/// One of their programs.
pub fn service_binary(program: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/services").join(program);
    assert!(path.exists(), "{} is missing: cargo xtask services fetches it", path.display());
    path
}

impl Service {
    /// `data`: where it runs; it is ready when `ready` answers 200.
    #[track_caller]
    pub fn start(program: &str, port: u16, data: TempDir, arguments: &[String], ready: &str) -> Self {
        let mut command = Command::new(service_binary(program));
        command.args(arguments).current_dir(data.path());
        for inherited in ["GODEBUG", "GOGC", "GOMEMLIMIT", "GOMAXPROCS"] {
            command.env_remove(inherited);
        }
        let service = Self { child: Child::start(&mut command), port, _data: data };
        wait_until(program, || service.ask("GET", ready, "").filter(|answer| answer.contains(" 200 OK")));
        service
    }

    /// Scrapes itself, and once a second what is given: names of jobs and addresses.
    #[track_caller]
    pub fn prometheus(jobs: &[(&str, &str)]) -> Self {
        let (data, [port]) = (tempfile::tempdir().expect("a directory"), free_ports());
        let own = format!("127.0.0.1:{port}");
        let job = |(name, target): &(&str, &str)| {
            format!("  - {{job_name: {name}, static_configs: [{{targets: ['{target}']}}]}}\n")
        };
        let jobs: String = [("own", own.as_str())].iter().chain(jobs).map(job).collect();
        let config = format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}");
        std::fs::write(data.path().join("prometheus.yml"), config).expect("a configuration");
        let arguments = [
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            format!("--web.listen-address={own}"),
        ];
        Self::start("prometheus", port, data, &arguments, "/-/ready")
    }

    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One request; the whole answer. HTTP/1.0: it ends with the connection.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// What a PromQL expression is now: of one series, or `None` where there is no such series.
    #[track_caller]
    pub fn value(&self, expression: &str) -> Option<f64> {
        Some(value_of(&self.one(expression)?["value"]))
    }

    /// All samples of one series that a range selector finds: times in ms since 1970, and values.
    #[track_caller]
    pub fn samples(&self, selector: &str) -> Vec<(u64, f64)> {
        let Some(series) = self.one(selector) else { return Vec::new() };
        let samples = series["values"].as_array().expect("samples").iter();
        samples.map(|of| ((of[0].as_f64().expect("a time") * 1000.0).round() as u64, value_of(of))).collect()
    }

    /// `None`: there is no such series.
    #[track_caller]
    fn one(&self, expression: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/query", self.port);
        let mut answer = ureq::get(url).query("query", expression).call().expect("an answer");
        let answer = answer.body_mut().read_to_string().expect("UTF-8");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        let series = answer["data"]["result"].as_array_mut().expect("series");
        assert!(series.len() <= 1, "{expression}: {} series", series.len());
        series.pop()
    }
}

/// Of a sample, which is a time and a text.
#[track_caller]
fn value_of(sample: &Value) -> f64 {
    let value = sample[1].as_str().expect("a value");
    value.parse().unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// Free a moment ago.
#[track_caller]
pub fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
