//! What an answer means: sent, to be sent again, or refused for good; as OpenTelemetry's protocol has it.
use super::queue::Signal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All but so many, and why not those.
    Sent {
        rejected: u64,
        why: String,
    },
    /// `after`: no earlier, the endpoint says.
    Again {
        after: Option<Duration>,
        why: String,
    },
    Refused {
        why: String,
    },
}

pub(super) fn of_http(signal: Signal, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let why = || format!("{status}: {}", String::from_utf8_lossy(body).lines().next().unwrap_or_default());
    match status.as_u16() {
        200..=299 => taken(signal, body),
        429 | 502 | 503 | 504 => {
            let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Outcome::Again { after: seconds.map(Duration::from_secs), why: why() }
        }
        _ => Outcome::Refused { why: why() },
    }
}

/// `status`: the trailers, or the headers where there is nothing else.
pub(super) fn of_grpc(signal: Signal, http: StatusCode, status: &HeaderMap, body: &[u8]) -> Outcome {
    let text = |name: &str| status.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<u8>().ok()) else {
        return of_http(signal, http, status, &[]).or_refused("no gRPC status");
    };
    let why = format!("gRPC status {code}: {}", text("grpc-message").unwrap_or_default());
    let after = text("grpc-status-details-bin").and_then(retry_delay);
    match code {
        // The message is behind its flag and length.
        0 => taken(signal, body.get(5..).unwrap_or_default()),
        // Cancelled, deadline exceeded, aborted, out of range, unavailable, data loss.
        1 | 4 | 10 | 11 | 14 | 15 => Outcome::Again { after, why },
        // Resource exhausted: only where it says that it will recover.
        8 if after.is_some() => Outcome::Again { after, why },
        _ => Outcome::Refused { why },
    }
}

impl Outcome {
    /// A success that says nothing is none.
    fn or_refused(self, why: &str) -> Outcome {
        match self {
            Outcome::Sent { .. } => Outcome::Refused { why: why.to_owned() },
            other => other,
        }
    }
}

fn taken(signal: Signal, body: &[u8]) -> Outcome {
    let (rejected, why) = match signal {
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|part| (part.rejected_data_points, part.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|part| (part.rejected_log_records, part.error_message)),
    }
    .unwrap_or_default();
    Outcome::Sent { rejected: u64::try_from(rejected).unwrap_or(0), why }
}

/// `google.rpc.Status`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

fn retry_delay(details: &str) -> Option<Duration> {
    let bytes = STANDARD_NO_PAD.decode(details.trim_end_matches('=')).ok()?;
    let status = Status::decode(bytes.as_slice()).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay?;
    Some(Duration::new(u64::try_from(delay.seconds).ok()?, u32::try_from(delay.nanos).ok()?.min(999_999_999)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        of.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn what_may_be_sent_again_is_and_not_before_its_time() {
        let http = |status: u16, of: &[(&'static str, &str)]| match of_http(
            Signal::Logs,
            StatusCode::from_u16(status).unwrap(),
            &headers(of),
            b"so it is\nand more",
        ) {
            Outcome::Again { after, why } => {
                assert!(why.contains(": so it is") && !why.contains('\n'), "{why}");
                Some(after.map(|after| after.as_secs()))
            }
            Outcome::Refused { .. } => None,
            sent => panic!("{status}: {sent:?}"),
        };
        assert_eq!([429, 502, 503, 504].map(|status| http(status, &[])), [Some(None); 4]);
        assert_eq!([400, 401, 404, 413, 500, 301].map(|status| http(status, &[])), [None; 6]);
        assert_eq!(http(503, &[("retry-after", "7")]), Some(Some(7)));
        assert_eq!(http(503, &[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")]), Some(None));

        let info = RetryInfo { retry_delay: Some(Delay { seconds: 3, nanos: 500_000_000 }) };
        let detail =
            Detail { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info.encode_to_vec() };
        let details = STANDARD_NO_PAD.encode(Status { details: vec![detail] }.encode_to_vec());
        let grpc = |code: &str, details: Option<&str>| {
            let of = [("grpc-status", code), ("grpc-status-details-bin", details.unwrap_or("%"))];
            match of_grpc(Signal::Metrics, StatusCode::OK, &headers(&of), b"") {
                Outcome::Again { after, .. } => Some(after.map(|after| after.as_millis())),
                Outcome::Refused { .. } => None,
                sent => panic!("{code}: {sent:?}"),
            }
        };
        assert_eq!(["1", "4", "10", "11", "14", "15"].map(|code| grpc(code, None)), [Some(None); 6]);
        assert_eq!(["2", "3", "7", "8", "12", "13", "16", "99"].map(|code| grpc(code, None)), [None; 8]);
        assert_eq!(["8", "14"].map(|code| grpc(code, Some(&details))), [Some(Some(3500)); 2]);
        let silent = of_grpc(Signal::Metrics, StatusCode::OK, &HeaderMap::new(), b"");
        assert_eq!(silent, Outcome::Refused { why: "no gRPC status".to_owned() });
    }

    #[test]
    fn what_was_rejected_out_of_a_batch_is_known() {
        let part = ExportMetricsPartialSuccess { rejected_data_points: 5, error_message: "old".to_owned() };
        let body = ExportMetricsServiceResponse { partial_success: Some(part) }.encode_to_vec();
        let expected = Outcome::Sent { rejected: 5, why: "old".to_owned() };
        assert_eq!(of_http(Signal::Metrics, StatusCode::OK, &HeaderMap::new(), &body), expected);
        let framed = [[0, 0, 0, 0, body.len() as u8].as_slice(), &body].concat();
        assert_eq!(of_grpc(Signal::Metrics, StatusCode::OK, &headers(&[("grpc-status", "0")]), &framed), expected);
        let all = Outcome::Sent { rejected: 0, why: String::new() };
        assert_eq!(of_http(Signal::Logs, StatusCode::NO_CONTENT, &HeaderMap::new(), b"nonsense"), all);
    }
}
