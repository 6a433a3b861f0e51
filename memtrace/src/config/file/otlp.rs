//! Where `memtrace agent` sends metrics and events in OpenTelemetry's protocol.
use super::{bytes, duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

const QUEUE_BYTES: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    #[serde(rename = "grpc")]
    Grpc,
    #[default]
    #[serde(rename = "http/protobuf")]
    Http,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    #[default]
    Gzip,
}

/// See [`ABOUT`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    pub endpoint: String,
    pub protocol: Protocol,
    pub compression: Compression,
    #[serde(with = "duration")]
    pub interval: Duration,
    #[serde(with = "duration")]
    pub timeout: Duration,
    #[serde(with = "bytes")]
    pub max_queue_bytes: u64,
    pub ca_file: PathBuf,
    pub headers: BTreeMap<String, String>,
    pub resource_attributes: BTreeMap<String, String>,
}

pub(super) const ABOUT: &[(&str, &str)] = &[
    ("endpoint", "of memtrace agent: http:// or https://, a host and a port; nothing is sent while it is empty"),
    ("protocol", "grpc, or http/protobuf: to v1/metrics and v1/logs below the endpoint"),
    ("compression", "gzip or none"),
    ("interval", "metrics are sent so often"),
    ("timeout", "of one attempt"),
    ("max_queue_bytes", "waiting to be sent, compressed: the oldest go first, and are counted"),
    ("ca_file", "certificates (PEM) that an https endpoint is trusted by"),
    ("headers", "sent with each request"),
    ("resource_attributes", "of all that is sent, beside service.name, service.version and host.name"),
];

impl Default for Otlp {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: Protocol::default(),
            compression: Compression::default(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            max_queue_bytes: 8 << 20,
            ca_file: "/etc/ssl/certs/ca-certificates.crt".into(),
            headers: BTreeMap::new(),
            resource_attributes: BTreeMap::new(),
        }
    }
}

impl Otlp {
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_url = ["http://", "https://"].iter().any(|scheme| self.endpoint.starts_with(scheme));
        if !self.endpoint.is_empty() && !is_url {
            return Err(("otlp.endpoint", "must begin with http:// or https://".to_owned()));
        }
        if !INTERVAL.contains(&self.interval) {
            return Err(("interval", "must be from 1s to 1h".to_owned()));
        }
        if !QUEUE_BYTES.contains(&self.max_queue_bytes) {
            return Err(("max_queue_bytes", "must be from 64KiB to 1GiB".to_owned()));
        }
        Ok(())
    }

    /// What OpenTelemetry's environment variables say counts where the file has no endpoint; its own attributes stay.
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Result<Otlp, String> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if self.endpoint.is_empty()
            && let Some(endpoint) = set("OTEL_EXPORTER_OTLP_ENDPOINT")
        {
            self.endpoint = endpoint.trim().to_owned();
            self.check().map_err(|(_, why)| format!("OTEL_EXPORTER_OTLP_ENDPOINT {why}"))?;
            self.protocol = match set("OTEL_EXPORTER_OTLP_PROTOCOL").as_deref() {
                None => self.protocol,
                Some("grpc") => Protocol::Grpc,
                Some("http/protobuf") => Protocol::Http,
                Some(_) => return Err("OTEL_EXPORTER_OTLP_PROTOCOL must be grpc or http/protobuf".to_owned()),
            };
            let headers = pairs("OTEL_EXPORTER_OTLP_HEADERS", set("OTEL_EXPORTER_OTLP_HEADERS"))?;
            for (name, value) in headers {
                self.headers.entry(name).or_insert(value);
            }
        }
        let service = set("OTEL_SERVICE_NAME").map(|name| ("service.name".to_owned(), name));
        let attributes = pairs("OTEL_RESOURCE_ATTRIBUTES", set("OTEL_RESOURCE_ATTRIBUTES"))?;
        for (name, value) in service.into_iter().chain(attributes) {
            self.resource_attributes.entry(name).or_insert(value);
        }
        Ok(self)
    }
}

/// `key=value,key=value`, percent-encoded.
fn pairs(name: &str, text: Option<String>) -> Result<Vec<(String, String)>, String> {
    let text = text.unwrap_or_default();
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        Some((decoded(key.trim())?, decoded(value.trim())?))
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(pair).collect::<Option<_>>().ok_or_else(|| format!("{name} must be key=value,key=value"))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                u8::try_from(digit(rest.next()?)? * 16 + digit(rest.next()?)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_counts_where_the_file_says_nothing() {
        let of = |otlp: Otlp, set: &[(&str, &str)]| {
            otlp.with_environment(|name| set.iter().find(|(of, _)| *of == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(of(Otlp::default(), &[]), Ok(Otlp::default()));
        let set = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x, a=b=c"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
            ("OTEL_SERVICE_NAME", "node"),
        ];
        let otlp = of(Otlp::default(), &set).unwrap();
        assert_eq!((otlp.endpoint.as_str(), otlp.protocol), ("http://collector:4317", Protocol::Grpc));
        assert_eq!((otlp.headers["authorization"].as_str(), otlp.headers["a"].as_str()), ("Bearer x", "b=c"));
        assert_eq!(otlp.resource_attributes["service.name"], "node");
        let own = Otlp { endpoint: "http://own:4318".to_owned(), ..Otlp::default() };
        let otlp = of(own, &set).unwrap();
        assert_eq!((otlp.endpoint.as_str(), otlp.protocol, otlp.headers.len()), ("http://own:4318", Protocol::Http, 0));
        assert_eq!(otlp.resource_attributes["deployment.environment.name"], "test");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_RESOURCE_ATTRIBUTES", "no pair"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=%zz"),
        ] {
            let why = of(Otlp::default(), &[(name, value)]).unwrap_err();
            assert!(why.starts_with(name) && !why.contains('\n'), "{why}");
        }
    }
}
