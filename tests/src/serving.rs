//! `memtrace agent` that serves.
use crate::memtrace::Memtrace;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

/// From its first line on.
#[derive(Debug)]
pub struct Serving {
    pub memtrace: Memtrace,
    pub address: String,
}

impl Serving {
    /// On a port that is free.
    #[track_caller]
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", arguments)
    }

    #[track_caller]
    pub fn start_at(listen: &str, arguments: &[&str]) -> Self {
        let fixed = ["agent", "-o", "json", "--listen", listen];
        Self::start_command(&mut Memtrace::command(&[&fixed, arguments].concat()))
    }

    /// An agent with `-o json`, however it is started.
    #[track_caller]
    pub fn start_command(command: &mut Command) -> Self {
        let mut memtrace = Memtrace::start_command(command);
        let start: Value = serde_json::from_str(&memtrace.text_line()).expect("JSON");
        assert_eq!(start["kind"], "start", "{start}");
        let address = start["listen"].as_str().expect("an address").to_owned();
        Self { memtrace, address }
    }

    /// Status and body.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}{path}", self.address)).call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("UTF-8"))
    }

    #[track_caller]
    pub fn ok(&self, path: &str) -> String {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.ok(path)).expect("JSON")
    }

    #[track_caller]
    pub fn until_ready(&self) {
        crate::wait_until("readiness", || (self.get("/readyz").0 == 200).then_some(()));
    }

    /// All that comes back until it closes the connection: nothing, where it had no room.
    #[track_caller]
    pub fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let mut answer = Vec::new();
        let _ = stream.write_all(request).and_then(|()| stream.read_to_end(&mut answer));
        answer
    }
}
