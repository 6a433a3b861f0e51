//! Encryption and the token: both versions of TLS, what is no handshake, and files that become others while it serves.
use crate::one;
use memtrace_tests::{Memtrace, Serving, Truth, quiet_truth, wait_until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

const TOKENS: [&str; 3] = ["sesame-sesame-sesame", "barley-barley-barley", "millet-millet-millet"];
const CONNECTIONS: usize = 4;
const TIMEOUT: Duration = Duration::from_secs(1);
/// What is waited for takes no longer, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent and its secrets, which lie as the kubelet lays them: all of them become others at once.
struct Secured {
    agent: Serving,
    directory: TempDir,
    versions: usize,
    _truth: Truth,
}

/// A certificate of its own, with its key and a token, in a directory of its own.
fn secrets(directory: &Path, token: &str) -> CertificateDer<'static> {
    let of = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    fs::create_dir(directory).expect("a directory");
    for (name, text) in
        [("tls.crt", of.cert.pem()), ("tls.key", of.signing_key.serialize_pem()), ("token", format!("{token}\n"))]
    {
        fs::write(directory.join(name), text).expect("written");
    }
    of.cert.der().clone()
}

impl Secured {
    /// And the certificate that it is trusted by.
    #[track_caller]
    fn start(has_token: bool) -> (Self, CertificateDer<'static>) {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path();
        let certificate = secrets(&place.join("v0"), TOKENS[0]);
        symlink("v0", place.join("..data")).expect("a link");
        let [crt, key, token] = ["tls.crt", "tls.key", "token"].map(|name| {
            symlink(format!("..data/{name}"), place.join(name)).expect("a link");
            place.join(name)
        });
        let token = if has_token { format!("token_file = {token:?}\n") } else { String::new() };
        let bounds = format!("max_connections = {CONNECTIONS}\nrequest_timeout = \"{}s\"\n", TIMEOUT.as_secs());
        let files = format!("tls_certificate_file = {crt:?}\ntls_key_file = {key:?}\n{token}");
        let config = place.join("memtrace.toml");
        fs::write(&config, format!("[http]\n{bounds}{files}")).expect("written");
        let (truth, config) = (quiet_truth(), config.to_str().expect("UTF-8"));
        // Others reach it: it is guarded.
        let pid = truth.pid().to_string();
        let mut agent = Serving::start_at("0.0.0.0:0", &["--no-save", "--config", config, "-p", &pid]);
        agent.address = agent.address.replace("0.0.0.0", "127.0.0.1");
        (Self { agent, directory, versions: 1, _truth: truth }, certificate)
    }

    /// In one step.
    #[track_caller]
    fn renew(&mut self, change: impl FnOnce(&Path)) -> CertificateDer<'static> {
        let (place, name) = (self.directory.path(), format!("v{}", self.versions));
        let certificate = secrets(&place.join(&name), TOKENS[self.versions % TOKENS.len()]);
        change(&place.join(&name));
        symlink(&name, place.join("..new")).expect("a link");
        fs::rename(place.join("..new"), place.join("..data")).expect("renamed");
        self.versions += 1;
        certificate
    }

    fn trusting(
        &self,
        certificate: &CertificateDer<'static>,
        version: &'static SupportedProtocolVersion,
    ) -> Client<'_> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a certificate");
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]);
        let config = config.expect("a version").with_root_certificates(roots).with_no_client_auth();
        Client { address: &self.agent.address, config: Arc::new(config), version }
    }
}

struct Client<'a> {
    address: &'a str,
    config: Arc<ClientConfig>,
    version: &'static SupportedProtocolVersion,
}

impl Client<'_> {
    /// All of the answer; an error is the handshake's.
    #[track_caller]
    fn ask(&self, path: &str, token: Option<&str>) -> Result<String, String> {
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(&self.config), name).expect("a client");
        let tcp = TcpStream::connect(self.address).expect("a connection");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut stream = StreamOwned::new(connection, tcp);
        let header = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: node.example\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).map_err(|why| why.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|why| why.to_string())?;
        assert_eq!(stream.conn.protocol_version(), Some(self.version.version));
        Ok(String::from_utf8(answer).expect("UTF-8"))
    }

    #[track_caller]
    fn status(&self, path: &str, token: Option<&str>) -> u16 {
        let answer = self.ask(path, token).unwrap_or_else(|why| panic!("{path}: {why}"));
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        status.unwrap_or_else(|| panic!("{path}: {answer}"))
    }

    #[track_caller]
    fn metric(&self, token: &str, series: &str) -> Option<f64> {
        let answer = self.ask("/metrics", Some(token)).expect("an answer");
        one(&answer, |line| line.starts_with(series))
    }
}

#[test]
fn both_versions_of_tls_answer_who_has_the_token_and_nobody_else() {
    let (secured, certificate) = Secured::start(true);
    for version in [&TLS13, &TLS12] {
        let client = secured.trusting(&certificate, version);
        for (path, without) in [("/healthz", 200), ("/metrics", 401), ("/api/v1/processes", 401)] {
            assert_eq!(client.status(path, None), without, "{path}");
            assert_eq!(client.status(path, Some(TOKENS[1])), without, "{path}");
            assert_eq!(client.status(path, Some(TOKENS[0])), 200, "{path}");
        }
        let processes = client.metric(TOKENS[0], "memtrace_go_heap_inuse_bytes{");
        assert!(processes > Some(0.0), "{processes:?}");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let refused = secured.trusting(other.cert.der(), version).ask("/metrics", Some(TOKENS[0])).unwrap_err();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
    }
    let ended = secured.agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
}

/// How long until it is closed, and what was said until then.
#[track_caller]
fn closed_after(mut stream: TcpStream) -> (Duration, Vec<u8>) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (since, mut said) = (Instant::now(), Vec::new());
    // It may be reset.
    let _ = stream.read_to_end(&mut said);
    (since.elapsed(), said)
}

#[test]
fn what_is_no_handshake_is_refused_and_one_that_never_ends_is_ended() {
    // Without a token encryption alone lets others in.
    let (secured, certificate) = Secured::start(false);
    let client = secured.trusting(&certificate, &TLS13);
    for plain in ["GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "\0\0\0\0\0\0\0\0", "\x16\x03\x01\u{7f}\u{7f}"] {
        let mut stream = TcpStream::connect(&secured.agent.address).expect("a connection");
        // It may be closed already.
        let _ = stream.write_all(plain.as_bytes());
        let (_, said) = closed_after(stream);
        assert!(!said.starts_with(b"HTTP/"), "{plain:?}: {}", said.escape_ascii());
        assert_eq!(client.status("/metrics", None), 200);
    }
    // The first bytes of a hello, and no more; of another nothing at all.
    let begun = [b"\x16\x03\x01\x02\x00\x01".as_slice(), b""];
    let slow: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|n| {
            let mut stream = TcpStream::connect(&secured.agent.address).expect("a connection");
            stream.write_all(begun[n % 2]).expect("sent");
            stream
        })
        .collect();
    let beyond = client.ask("/healthz", None);
    assert!(beyond.is_err(), "there is room for {CONNECTIONS}: {beyond:?}");
    for stream in slow {
        let (took, said) = closed_after(stream);
        assert!(took < PATIENCE && said.is_empty(), "{took:?}: {}", said.escape_ascii());
    }
    assert_eq!(client.status("/metrics", None), 200);
    let ended = secured.agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!((ended.code(), ended.stderr.as_str()), (Some(0), ""));
}

const RELOADED: &str = "memtrace_config_reloads_total{result=\"success\"}";
const REFUSED: &str = "memtrace_config_reloads_total{result=\"failure\"}";

#[test]
fn a_renewed_certificate_and_token_count_without_a_restart() {
    let (mut secured, first) = Secured::start(true);
    // Found by itself.
    let second = secured.renew(|_| ());
    let client = secured.trusting(&second, &TLS13);
    wait_until("the new certificate", || client.ask("/healthz", None).ok());
    assert_eq!([TOKENS[0], TOKENS[1]].map(|token| client.status("/metrics", Some(token))), [401, 200]);
    assert!(secured.trusting(&first, &TLS13).ask("/healthz", None).is_err(), "the old one is not shown any more");
    wait_until("the count", || (client.metric(TOKENS[1], RELOADED) == Some(1.0)).then_some(()));

    // At once, where it is said.
    let third = secured.renew(|_| ());
    secured.agent.memtrace.signal(libc::SIGHUP);
    let client = secured.trusting(&third, &TLS12);
    wait_until("the next", || client.ask("/healthz", None).ok());
    assert_eq!([TOKENS[1], TOKENS[2]].map(|token| client.status("/metrics", Some(token))), [401, 200]);
    wait_until("the count", || (client.metric(TOKENS[2], RELOADED) == Some(2.0)).then_some(()));

    // A key that is another certificate's: nothing of it counts, not even the token.
    let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
    let fourth = secured.renew(|place| fs::write(place.join("tls.key"), other).expect("written"));
    let client = secured.trusting(&third, &TLS13);
    wait_until("the failure", || (client.metric(TOKENS[2], REFUSED) == Some(1.0)).then_some(()));
    assert_eq!(client.metric(TOKENS[2], "memtrace_config_last_reload_successful"), Some(0.0));
    assert_eq!(client.status("/metrics", Some(TOKENS[0])), 401);
    assert!(secured.trusting(&fourth, &TLS13).ask("/healthz", None).is_err());

    let ended = secured.agent.memtrace.signalled(libc::SIGTERM);
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!((ended.code(), said.len()), (Some(0), 3), "{}", ended.stderr);
    let place = secured.directory.path().display();
    let renewed = format!("read again: {place}/token, {place}/tls.crt, {place}/tls.key");
    assert!(said[..2].iter().all(|line| line.ends_with(&renewed)), "{}", ended.stderr);
    let refused = said[2].contains(&format!("TLS: {place}/tls.key: ")) && said[2].ends_with("still counts");
    assert!(refused, "{}", ended.stderr);
}

#[test]
fn without_either_others_are_let_in_only_where_that_is_meant() {
    let truth = quiet_truth();
    let pid = truth.pid().to_string();
    let refused = Memtrace::run(&["agent", "--no-save", "--listen", "0.0.0.0:0", "-p", &pid]);
    assert_eq!((refused.code(), refused.stderr.lines().count()), (Some(2), 1), "{}", refused.stderr);
    let mut forced = Serving::start_at("0.0.0.0:0", &["--no-save", "--listen-anywhere", "-p", &pid]);
    forced.address = forced.address.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(forced.get("/metrics").0, 200);
    assert_eq!(forced.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}
