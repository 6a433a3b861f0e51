use super::*;
use crate::dossier::Living;
use crate::dossier::Present;
use crate::snapshot::ProcessSnapshot;
use crate::timeline::{Point, Signal as Of};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::Metric as Proto;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use std::convert::Infallible;
use std::path::PathBuf;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

fn golden(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "src/sink/otlp/golden", file].iter().collect()
}

/// Takes one request over TLS as `localhost`, and says where it went to.
async fn serve(listener: TcpListener) -> Option<String> {
    let certificate = CertificateDer::from_pem_file(golden("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(golden("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
    let (to, mut from) = channel(1);
    let answer = service_fn(move |request: Request<Incoming>| {
        let to = to.clone();
        async move {
            to.try_send(request.uri().path().to_owned()).unwrap();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), answer).await;
    from.recv().await
}

#[test]
fn an_https_endpoint_is_trusted_by_its_certificate_only() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sent = |ca: &str| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("https://localhost:{}/below/", listener.local_addr().unwrap().port());
            let mut client = Client::new(&Otlp { endpoint, ca_file: golden(ca), ..Otlp::default() }).unwrap();
            let batch = Batch { signal: Signal::Logs, items: 1, payload: client.packing().pack(b"") };
            tokio::join!(client.send(&batch), serve(listener))
        })
    };
    let taken = Outcome::Sent { rejected: 0, why: String::new() };
    assert_eq!(sent("ca.pem"), (taken, Some("/below/v1/logs".to_owned())));
    let (Outcome::Again { after: None, why }, None) = sent("other.pem") else { panic!("it was trusted") };
    assert!(why.contains("certificate"), "{why}");
}

fn living(target: u32, container: Option<&str>) -> Living {
    let names = container.map(|container| crate::cgroup::kubelet::Names {
        namespace: Some("shop".to_owned()),
        pod: Some("web".to_owned()),
        container: Some(container.to_owned()),
    });
    let by = crate::cgroup::workload::WorkloadBy::Kubernetes;
    let workload = Some(crate::cgroup::workload::Workload { by, name: "web".to_owned(), names });
    let process = ProcessSnapshot { target, pid: Some(target), ..ProcessSnapshot::default() };
    let point =
        Point::at(1).with(Of::Charge, 7).with(Of::GogcPercent, 50).with(Of::StackInuse, 3).with(Of::MappedReady, 10);
    Living { process, point: Some(point), workload, ..Living::default() }
}

/// All metrics of what is known, in the pieces that they are sent in.
fn pieces(processes: Vec<Living>, max_series: usize) -> Vec<(u64, Vec<Proto>)> {
    let present = Present { processes, ..Present::default() };
    let scrape = Scrape { present: &present, own: OwnCost::default(), deaths: None, max_series, compat_names: false };
    points::metrics(scrape.collect(&mut Admitted::default()), Times { start_ns: 5, now_ns: 9 })
}

/// Value, attributes and start of every point of a metric.
fn points_of(metrics: &[Proto], name: &str) -> Vec<(i64, String, u64)> {
    let of_name = metrics.iter().filter(|metric| metric.name == name);
    let points = of_name.flat_map(|metric| match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => &sum.data_points,
        Data::Gauge(gauge) => &gauge.data_points,
        other => panic!("{other:?}"),
    });
    let point = |point: &opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
        let Some(Number::AsInt(value)) = point.value else { panic!("{point:?}") };
        let attribute = |of: &opentelemetry_proto::tonic::common::v1::KeyValue| match of
            .value
            .as_ref()
            .and_then(|value| value.value.as_ref())
            .unwrap()
        {
            Any::StringValue(text) => format!("{}={text}", of.key),
            Any::IntValue(number) => format!("{}={number}i", of.key),
            other => panic!("{other:?}"),
        };
        let attributes: Vec<String> = point.attributes.iter().map(attribute).collect();
        (value, attributes.join(" "), point.start_time_unix_nano)
    };
    points.map(point).collect()
}

#[test]
fn names_are_those_of_the_conventions_and_what_is_made_of_two_adds_up() {
    let pieces = pieces(vec![living(1, Some("app")), living(2, None), living(3, None), living(4, None)], 2);
    let [(_, metrics)] = pieces.as_slice() else { panic!("{} pieces", pieces.len()) };
    let of = |name| points_of(metrics, name);
    let container = "k8s.namespace.name=shop k8s.pod.name=web k8s.container.name=app process.pid=1i";
    assert_eq!(of("container.memory.usage"), [(7, container.to_owned(), 0)]);
    assert_eq!(of("memtrace.cgroup.charge"), [(7, "process.pid=2i".to_owned(), 0)]);
    assert_eq!(of("go.config.gogc")[1], (50, "process.pid=2i".to_owned(), 0));
    let used: Vec<(i64, String)> = of("go.memory.used").into_iter().map(|(value, of, _)| (value, of)).collect();
    let of_kind = |value, of: &str, kind| (value, format!("{of} go.memory.type={kind}"));
    let [second, others] = ["process.pid=2i", "memtrace.process.group=other"];
    let stacks = [of_kind(3, container, "stack"), of_kind(3, second, "stack"), of_kind(6, others, "stack")];
    let rest = [of_kind(7, container, "other"), of_kind(7, second, "other"), of_kind(14, others, "other")];
    assert_eq!(used, [stacks, rest].concat());
    assert_eq!(of("memtrace.samples"), [(0, String::new(), 5)], "since memtrace was started");
}

#[test]
fn a_request_is_no_larger_than_receivers_take() {
    let pieces = pieces((1..=5000).map(|target| living(target, None)).collect(), 5000);
    assert!(pieces.iter().all(|(points, _)| *points <= points::POINTS as u64), "{}", pieces.len());
    let charged: usize = pieces.iter().map(|(_, metrics)| points_of(metrics, "memtrace.cgroup.charge").len()).sum();
    assert_eq!(charged, 5000);
    let bytes = pieces.iter().map(|(_, metrics)| metrics.iter().map(prost::Message::encoded_len).sum::<usize>());
    assert!(bytes.max() < Some(4 << 20));
}

#[test]
fn what_a_cgroup_tells_is_a_record() {
    let told = crate::event::PressureTold {
        t_ns: monotonic_ns(),
        cgroup: Some(std::path::Path::new("/a").into()),
        what: crate::event::PressureWhat::OutOfMemory,
        times: 3,
    };
    let record = logs::record(&Happened::Pressure(Arc::new(told)), 7);
    let body = record.body.and_then(|body| body.value);
    assert_eq!(body, Some(Any::StringValue("cgroup /a: out of memory 3 times".to_owned())));
    let attributes: Vec<&str> = record.attributes.iter().map(|of| of.key.as_str()).collect();
    assert_eq!(attributes, ["memtrace.pressure.what", "memtrace.pressure.times", "memtrace.cgroup.path"]);
    assert_eq!(
        (record.event_name.as_str(), record.severity_number, record.observed_time_unix_nano),
        ("memtrace.pressure", 13, 7)
    );
}
