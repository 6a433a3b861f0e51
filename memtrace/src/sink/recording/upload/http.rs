//! What object_store asks over: HTTP/1.1 by hyper, TLS where it is https. One connection is kept for a few seconds, since files
//! that wait go one after the other.
use crate::config::size::parse_duration;
use crate::sink::trust;
use async_trait::async_trait;
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Servers close what is silent for longer.
const KEPT: Duration = Duration::from_secs(5);
/// To somebody who may not be there, where object_store does not say.
const CONNECT: Duration = Duration::from_secs(5);
/// Of an answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;
const AGENT: &str = concat!("memtrace/", env!("CARGO_PKG_VERSION"));

/// `None`: nothing encrypted is asked for, and there need be no certificates.
#[derive(Clone)]
pub(super) struct Connector(Option<TlsConnector>);

impl Connector {
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Connector, String> {
        let tls = ca_file.map(|ca_file| trust::client(ca_file, b"http/1.1")).transpose()?;
        Ok(Connector(tls.map(|config| TlsConnector::from(Arc::new(config)))))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    /// For the store, and apart from it for who gives credentials.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let of = |key| options.get_config_value(&key);
        let connect = of(ClientConfigKey::ConnectTimeout).and_then(|text| parse_duration(&text).ok());
        Ok(HttpClient::new(Service {
            tls: self.0.clone(),
            allow_http: of(ClientConfigKey::AllowHttp).as_deref() == Some("true"),
            connect: connect.unwrap_or(CONNECT),
            kept: Mutex::default(),
        }))
    }
}

struct Kept {
    /// Scheme, host and port.
    to: Place,
    since: Instant,
    connection: SendRequest<HttpRequestBody>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    is_tls: bool,
    host: String,
    port: u16,
}

struct Service {
    tls: Option<TlsConnector>,
    allow_http: bool,
    connect: Duration,
    kept: Mutex<Option<Kept>>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let place = Place::of(request.uri(), self.allow_http).map_err(|why| failed(HttpErrorKind::Unknown, why))?;
        let request = prepared(request).map_err(|why| failed(HttpErrorKind::Unknown, why))?;
        let mut connection = match self.kept(&place).await {
            Some(kept) => kept,
            None => {
                let connected = timeout(self.connect, self.connected(&place)).await;
                let connected = connected.unwrap_or_else(|_| Err("nobody answers".to_owned()));
                connected
                    .map_err(|why| failed(HttpErrorKind::Connect, format!("{}:{}: {why}", place.host, place.port)))?
            }
        };
        let answer = connection.send_request(request).await;
        let answer = answer.map_err(|why| failed(HttpErrorKind::Request, said(&why)))?;
        // Whoever takes it waits until the answer has been read.
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Kept { to: place, since: Instant::now(), connection });
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).map_err(|why| failed(HttpErrorKind::Decode, why));
        Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)))
    }
}

impl Service {
    async fn kept(&self, to: &Place) -> Option<SendRequest<HttpRequestBody>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut kept = kept.filter(|kept| kept.to == *to && kept.since.elapsed() < KEPT)?;
        kept.connection.ready().await.is_ok().then_some(kept.connection)
    }

    async fn connected(&self, to: &Place) -> Result<SendRequest<HttpRequestBody>, String> {
        let text = |why: io::Error| why.to_string();
        let stream = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(text)?;
        // An answer is waited for after each request.
        stream.set_nodelay(true).map_err(text)?;
        if !to.is_tls {
            return over(stream).await;
        }
        let tls = self.tls.as_ref().ok_or("there are no certificates to trust it by")?;
        let name = ServerName::try_from(to.host.clone()).map_err(|why| why.to_string())?;
        over(tls.connect(name, stream).await.map_err(text)?).await
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<HttpRequestBody>, String> {
    let (to, connection) = handshake(TokioIo::new(stream)).await.map_err(|why| why.to_string())?;
    tokio::spawn(async move { drop(connection.await.inspect_err(|why| log::debug!("upload: {why}"))) });
    Ok(to)
}

impl Place {
    fn of(uri: &Uri, allow_http: bool) -> Result<Place, String> {
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if allow_http => false,
            _ => return Err(format!("{} is not asked without allow_http", uri.host().unwrap_or("it"))),
        };
        let host = uri.host().ok_or("there is no host to ask")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Place { is_tls, host, port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }) })
    }
}

/// As it is written to a connection: what is signed says the host and, unless it is the usual one, the port.
fn prepared(mut request: HttpRequest) -> Result<Request<HttpRequestBody>, String> {
    let uri = request.uri().clone();
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host().unwrap_or_default();
    let host = match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let host = HeaderValue::from_str(&host).map_err(|why| why.to_string())?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    *request.uri_mut() = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")).into();
    Ok(request)
}

/// With what is behind it: "error writing a body to connection" says little.
fn said(why: &hyper::Error) -> String {
    match std::error::Error::source(why) {
        Some(source) => format!("{why}: {source}"),
        None => why.to_string(),
    }
}

fn failed(kind: HttpErrorKind, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> HttpError {
    HttpError::new_boxed(kind, why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_unencrypted_unless_it_is_said() {
        let place = |uri: &str, allow_http| Place::of(&uri.parse().unwrap(), allow_http);
        let of = |is_tls, host: &str, port| Ok(Place { is_tls, host: host.to_owned(), port });
        assert_eq!(place("https://s3.example/b/k?x", false), of(true, "s3.example", 443));
        assert_eq!(place("https://[::1]:9000/b", false), of(true, "::1", 9000));
        assert_eq!(place("http://minio/b", true), of(false, "minio", 80));
        let why = place("http://minio:9000/b", false).unwrap_err();
        assert_eq!(why, "minio is not asked without allow_http");
    }

    #[test]
    fn a_request_is_written_as_it_was_signed() {
        for (uri, path, host) in [
            ("https://s3.example:443/b/k?partNumber=1", "/b/k?partNumber=1", "s3.example"),
            ("http://minio:9000", "/", "minio:9000"),
            ("https://[::1]:80/b", "/b", "[::1]:80"),
        ] {
            let request = Request::builder().uri(uri).body(HttpRequestBody::empty()).unwrap();
            let request = prepared(request).unwrap();
            assert_eq!((request.uri().to_string().as_str(), &request.headers()[HOST]), (path, &host.parse().unwrap()));
        }
    }
}
