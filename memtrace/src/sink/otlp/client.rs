//! One request after the other to the endpoint, over a connection that is kept.
use super::connect::{Connection, Connector};
use super::queue::{Batch, Signal};
use super::verdict::{Outcome, of_grpc, of_http};
use crate::config::file::{Compression, Otlp, Protocol};
use crate::error::Error;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::{Method, Request, Uri};
use std::io::Write as _;
use std::time::Duration;
use tokio::time::timeout;

/// Of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Makes of a message what will be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    protocol: Protocol,
    compression: Compression,
}

pub(super) struct Client {
    connector: Connector,
    connection: Option<Connection>,
    endpoint: Uri,
    headers: HeaderMap,
    protocol: Protocol,
    compression: Compression,
    timeout: Duration,
}

impl Client {
    pub(super) fn new(config: &Otlp) -> Result<Client, Error> {
        let refused = |why: String| Error::Usage(format!("[otlp] {why}"));
        let endpoint: Uri = config.endpoint.parse().map_err(|why| refused(format!("endpoint: {why}")))?;
        let connector = Connector::new(&endpoint, config).map_err(refused)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let named = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (key, mut value) = named.ok_or_else(|| refused(format!("headers: {name} is no header")))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        let (protocol, compression) = (config.protocol, config.compression);
        let content_type = if protocol == Protocol::Grpc { "application/grpc" } else { "application/x-protobuf" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let is_gzip = compression == Compression::Gzip;
        match protocol {
            Protocol::Grpc => {
                headers.insert(TE, HeaderValue::from_static("trailers"));
                if is_gzip {
                    headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
                }
            }
            Protocol::Http => {
                headers.insert(HOST, connector.host_header());
                if is_gzip {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
            }
        }
        let timeout = config.timeout;
        Ok(Client { connector, connection: None, endpoint, headers, protocol, compression, timeout })
    }

    pub(super) fn packing(&self) -> Packing {
        Packing { protocol: self.protocol, compression: self.compression }
    }

    pub(super) async fn send(&mut self, batch: &Batch) -> Outcome {
        match timeout(self.timeout, self.attempt(batch)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => {
                self.connection = None;
                Outcome::Again { after: None, why }
            }
            Err(_) => {
                self.connection = None;
                Outcome::Again { after: None, why: "no answer in time".to_owned() }
            }
        }
    }

    async fn attempt(&mut self, batch: &Batch) -> Result<Outcome, String> {
        let request = self.request(batch)?;
        let mut kept = self.connection.take();
        if let Some(connection) = &mut kept
            && !connection.is_ready().await
        {
            kept = None;
        }
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connector.connect(self.protocol).await?,
        };
        let answer = connection.send(request).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await.map_err(|why| why.to_string())?;
        self.connection = Some(connection);
        let trailers = body.trailers().cloned();
        Ok(match self.protocol {
            Protocol::Http => of_http(batch.signal, head.status, &head.headers, &body.to_bytes()),
            Protocol::Grpc => {
                let status = trailers.unwrap_or(head.headers);
                of_grpc(batch.signal, head.status, &status, &body.to_bytes())
            }
        })
    }

    fn request(&self, batch: &Batch) -> Result<Request<Full<Bytes>>, String> {
        let path = match (self.protocol, batch.signal) {
            (Protocol::Http, Signal::Metrics) => format!("{}/v1/metrics", self.endpoint.path().trim_end_matches('/')),
            (Protocol::Http, Signal::Logs) => format!("{}/v1/logs", self.endpoint.path().trim_end_matches('/')),
            (Protocol::Grpc, Signal::Metrics) => {
                "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export".to_owned()
            }
            (Protocol::Grpc, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export".to_owned(),
        };
        let mut uri = Uri::builder().path_and_query(path);
        // HTTP/2 tells host and scheme with the path.
        if let (Protocol::Grpc, Some(scheme), Some(host)) =
            (self.protocol, self.endpoint.scheme(), self.endpoint.authority())
        {
            uri = uri.scheme(scheme.clone()).authority(host.clone());
        }
        let uri = uri.build().map_err(|why| why.to_string())?;
        let request = Request::builder().method(Method::POST).uri(uri);
        let mut request = request.body(Full::new(batch.payload.clone())).map_err(|why| why.to_string())?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

impl Packing {
    pub(super) fn pack(self, message: &[u8]) -> Bytes {
        let is_gzip = self.compression == Compression::Gzip;
        let mut body = Vec::new();
        if self.protocol == Protocol::Grpc {
            // Its length comes when it is known.
            body.extend([u8::from(is_gzip), 0, 0, 0, 0]);
        }
        let head = body.len();
        if is_gzip {
            let mut encoder = GzEncoder::new(body, flate2::Compression::fast());
            // Into memory nothing fails.
            let _ = encoder.write_all(message);
            body = encoder.finish().unwrap_or_default();
        } else {
            body.extend(message);
        }
        if head > 0 {
            let length = u32::try_from(body.len() - head).unwrap_or(u32::MAX);
            body[1..head].copy_from_slice(&length.to_be_bytes());
        }
        Bytes::from(body)
    }
}
