//! TCP, TLS where the endpoint is https, and HTTP/1.1 or HTTP/2 over it.
use crate::config::file::{Otlp, Protocol};
use crate::sink::trust;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::HeaderValue;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

pub(super) enum Connection {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Connection::One(to) => to.ready().await.is_ok(),
            Connection::Two(to) => to.ready().await.is_ok(),
        }
    }

    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String> {
        let sent = match self {
            Connection::One(to) => to.send_request(request).await,
            Connection::Two(to) => to.send_request(request).await,
        };
        sent.map_err(|why| why.to_string())
    }
}

pub(super) struct Connector {
    host: String,
    port: u16,
    /// What a server is told that it is called by.
    authority: HeaderValue,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    pub(super) fn new(endpoint: &Uri, config: &Otlp) -> Result<Connector, String> {
        let host = endpoint.host().ok_or("endpoint: there is no host in it")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_tls = endpoint.scheme_str() == Some("https");
        let usual = if config.protocol == Protocol::Grpc { 4317 } else { 4318 };
        let port = endpoint.port_u16().unwrap_or(usual);
        let authority = endpoint.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let authority = HeaderValue::from_str(authority).map_err(|why| format!("endpoint: {why}"))?;
        let tls = is_tls.then(|| tls(&host, &config.ca_file, config.protocol)).transpose()?;
        Ok(Connector { host, port, authority, tls })
    }

    pub(super) fn host_header(&self) -> HeaderValue {
        self.authority.clone()
    }

    pub(super) async fn connect(&self, protocol: Protocol) -> Result<Connection, String> {
        let failed = |why: std::io::Error| format!("{}:{}: {why}", self.host, self.port);
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(failed)?;
        match &self.tls {
            None => over(stream, protocol).await,
            Some((tls, name)) => over(tls.connect(name.clone(), stream).await.map_err(failed)?, protocol).await,
        }
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
) -> Result<Connection, String> {
    let io = TokioIo::new(stream);
    let ended = |ended: Result<(), hyper::Error>| drop(ended.inspect_err(|why| log::debug!("otlp: {why}")));
    match protocol {
        Protocol::Http => {
            let (to, connection) = http1::handshake(io).await.map_err(|why| why.to_string())?;
            tokio::spawn(async move { ended(connection.await) });
            Ok(Connection::One(to))
        }
        Protocol::Grpc => {
            let made = http2::handshake(TokioExecutor::new(), io).await;
            let (to, connection) = made.map_err(|why| why.to_string())?;
            tokio::spawn(async move { ended(connection.await) });
            Ok(Connection::Two(to))
        }
    }
}

fn tls(host: &str, ca_file: &Path, protocol: Protocol) -> Result<(TlsConnector, ServerName<'static>), String> {
    let config = trust::client(ca_file, if protocol == Protocol::Grpc { b"h2" } else { b"http/1.1" })?;
    let name = ServerName::try_from(host.to_owned()).map_err(|why| format!("endpoint: {why}"))?;
    Ok((TlsConnector::from(Arc::new(config)), name))
}
