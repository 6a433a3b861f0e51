//! A store that speaks as much of S3 as uploads need, and does what it is told to: take what comes, have no time, refuse, or
//! say nothing at all.
use crate::signed::Request;
use memtrace_tests::wait_until;
use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const NAME: &str = "fleet";
pub(crate) const KEY: &str = "AKIATEST";
pub(crate) const SECRET: &str = "s3cret/with+signs";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    /// 503.
    Busy,
    /// 404: there is no such bucket.
    Missing,
    /// None.
    Silence,
}

/// On threads that end with the test.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    answer: Mutex<Answer>,
    /// In the order that they have come in, whole.
    objects: Mutex<Vec<(String, Vec<u8>)>>,
    /// Parts of those that are not.
    parts: Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    keys: Mutex<Vec<String>>,
    silent: AtomicU32,
}

impl Bucket {
    pub(crate) fn serve(answer: Answer, tls: Option<ServerConfig>) -> Bucket {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            answer: Mutex::new(answer),
            objects: Mutex::default(),
            parts: Mutex::default(),
            keys: Mutex::default(),
            silent: AtomicU32::new(0),
        });
        let (served, tls) = (Arc::clone(&state), tls.map(Arc::new));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, tls) = (Arc::clone(&served), tls.clone());
                // Whoever connects may leave at any time.
                std::thread::spawn(move || {
                    let _ = match tls {
                        None => state.serve(stream),
                        Some(tls) => ServerConnection::new(tls)
                            .map_err(io::Error::other)
                            .and_then(|connection| state.serve(StreamOwned::new(connection, stream))),
                    };
                });
            }
        });
        Bucket { port, state }
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.state.answer.lock().expect("an answer") = answer;
    }

    /// Their names, below nothing else than the bucket.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.objects.lock().expect("objects").iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        self.state.objects.lock().expect("objects").clone()
    }

    /// By which access keys what came was signed, one after the other.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.keys.lock().expect("keys").clone()
    }

    /// Somebody waits for an answer that does not come.
    #[track_caller]
    pub(crate) fn until_asked_in_vain(&self) {
        wait_until("somebody to ask", || (self.state.silent.load(Relaxed) > 0).then_some(()));
    }
}

impl State {
    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream)? {
            let key = request.signed_by(SECRET);
            let mut keys = self.keys.lock().expect("keys");
            if keys.last() != Some(&key) {
                keys.push(key);
            }
            drop(keys);
            let answer = *self.answer.lock().expect("an answer");
            let (status, header, body) = match answer {
                Answer::Silence => {
                    self.silent.fetch_add(1, Relaxed);
                    return stream.read_to_end(&mut Vec::new()).map(drop);
                }
                Answer::Busy => ("503 Slow Down", String::new(), error("SlowDown", "Reduce your request rate.")),
                Answer::Missing => ("404 Not Found", String::new(), error("NoSuchBucket", "There is none.")),
                Answer::Take => self.taken(&request),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{header}\r\n");
            stream.get_mut().write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
            stream.get_mut().flush()?;
        }
        Ok(())
    }

    fn taken(&self, request: &Request) -> (&'static str, String, String) {
        let name = request.path.replace("%3D", "=");
        let name = name.strip_prefix(&format!("/{NAME}/")).expect("in the bucket").to_owned();
        let (upload, part) = (request.parameter("uploadId"), request.parameter("partNumber"));
        let mut parts = self.parts.lock().expect("parts");
        let put = |content: Vec<u8>| self.objects.lock().expect("objects").push((name.clone(), content));
        let body = match (request.method.as_str(), upload, part) {
            ("PUT", None, None) => {
                put(request.body.clone());
                String::new()
            }
            ("POST", None, None) if request.parameter("uploads").is_some() => {
                parts.insert(name.clone(), BTreeMap::new());
                format!(
                    "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
                    name.len()
                )
            }
            ("PUT", Some(_), Some(part)) => {
                let of = parts.get_mut(&name).expect("it was begun");
                of.insert(part.parse().expect("a number"), request.body.clone());
                String::new()
            }
            ("POST", Some(_), None) => {
                put(parts.remove(&name).expect("it was begun").into_values().collect::<Vec<_>>().concat());
                "<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>".to_owned()
            }
            other => panic!("nobody asks that: {other:?} {}", request.query),
        };
        ("200 OK", "ETag: \"1\"\r\n".to_owned(), body)
    }
}

fn error(code: &str, message: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

/// `None`: there is no more.
fn read(stream: &mut BufReader<impl Read + Write>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Ok(0), |(_, value)| value.parse());
    let mut body = vec![0; length.map_err(io::Error::other)?];
    stream.read_exact(&mut body)?;
    let [method, path, query] = [method, path, query].map(str::to_owned);
    Ok(Some(Request { method, path, query, headers, body }))
}

/// Nobody trusts it who does not know its certificate, which is PEM.
pub(crate) fn certificate() -> (ServerConfig, String) {
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let of = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(of.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(vec![of.cert.der().clone()], key).expect("a server");
    (config, of.cert.pem())
}
