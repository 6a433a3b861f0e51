//! What the agent sends in OpenTelemetry's protocol: by HTTP to a real VictoriaMetrics, by gRPC to a server that tonic and
//! the protocol's own definitions make, and to nobody for a while.
use memtrace_tests::{Service, Serving, Truth, free_ports, quiet_truth, rss_bytes, wait_until};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Of an attempt, unless it is said otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What has come, and how often it says that it has no time.
#[derive(Clone, Debug, Default)]
struct Collector {
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    logs: Arc<Mutex<Vec<LogRecord>>>,
    headers: Arc<Mutex<Option<String>>>,
    busy: Arc<AtomicU32>,
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        if self.busy.fetch_update(Relaxed, Relaxed, |busy| busy.checked_sub(1)).is_ok() {
            return Err(Status::unavailable("later"));
        }
        let header = request.metadata().get("x-tenant").and_then(|value| value.to_str().ok()).map(str::to_owned);
        *self.headers.lock().expect("headers") = header;
        self.metrics.lock().expect("metrics").push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|of| of.scope_logs);
        self.logs.lock().expect("logs").extend(scopes.flat_map(|of| of.log_records));
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Collector {
    /// On a thread that ends with the test.
    fn serve(&self, port: u16) {
        let (metrics, logs) = (MetricsServiceServer::new(self.clone()), LogsServiceServer::new(self.clone()));
        let server =
            Server::builder().add_service(metrics.accept_compressed(Gzip)).add_service(logs.accept_compressed(Gzip));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        std::thread::spawn(move || runtime.block_on(server.serve(([127, 0, 0, 1], port).into())));
    }

    fn points(&self) -> u64 {
        let all = self.metrics.lock().expect("metrics");
        let metrics = all.iter().flat_map(|of| &of.resource_metrics).flat_map(|of| &of.scope_metrics);
        let points = metrics.flat_map(|of| &of.metrics).map(|metric| match &metric.data {
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            _ => 0,
        });
        points.sum::<usize>() as u64
    }

    /// What the newest request says of a process, by name and the type of Go's memory.
    fn newest(&self, pid: u32) -> Option<Vec<(String, Option<String>, Number)>> {
        let all = self.metrics.lock().expect("metrics");
        let scope = all.last()?.resource_metrics.first()?.scope_metrics.first()?;
        let of_pid = |point: &&NumberDataPoint| number(&point.attributes, "process.pid") == Some(pid.into());
        let said = |metric: &Metric| {
            let points = points(metric).iter().filter(of_pid).filter_map(|point| {
                let kind = string(&point.attributes, "go.memory.type")
                    .or(string(&point.attributes, "memtrace.waterfall.bucket"));
                Some((metric.name.clone(), kind, point.value?))
            });
            points.collect::<Vec<_>>()
        };
        Some(scope.metrics.iter().flat_map(said).collect())
    }
}

fn points(metric: &Metric) -> &[NumberDataPoint] {
    match &metric.data {
        Some(Data::Sum(sum)) => &sum.data_points,
        Some(Data::Gauge(gauge)) => &gauge.data_points,
        _ => &[],
    }
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    attributes.iter().find(|of| of.key == key)?.value.as_ref()?.value.as_ref()
}

fn string(attributes: &[KeyValue], key: &str) -> Option<String> {
    if let Any::StringValue(text) = attribute(attributes, key)? { Some(text.clone()) } else { None }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    if let Any::IntValue(number) = attribute(attributes, key)? { Some(*number) } else { None }
}

/// An agent with `[otlp]` as given, that watches a program.
#[track_caller]
fn agent(directory: &Path, otlp: &str, truth: &Truth, arguments: &[&str]) -> Serving {
    let config: PathBuf = directory.join("memtrace.toml");
    std::fs::write(&config, format!("[otlp]\ninterval = \"1s\"\n{otlp}\n")).expect("a configuration");
    let (config, pid) = (config.to_str().expect("UTF-8"), truth.pid().to_string());
    Serving::start(&[&["--config", config, "-p", &pid], arguments].concat())
}

/// A value without labels, or with those given, in the page.
#[track_caller]
fn served(page: &str, series: &str) -> u64 {
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series}: {page}")).parse().expect("a number")
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn victoria_metrics_shows_what_the_program_counts() {
    let (data, [port]) = (directory(), free_ports());
    let arguments = [
        "-storageDataPath=data".to_owned(),
        format!("-httpListenAddr=127.0.0.1:{port}"),
        "-search.latencyOffset=0s".to_owned(),
        "-search.disableCache".to_owned(),
    ];
    let store = Service::start("victoria-metrics", port, data, &arguments, "/health");
    let (own, mut truth) = (directory(), quiet_truth());
    let endpoint = format!("endpoint = \"http://127.0.0.1:{port}/opentelemetry\"");
    let agent = agent(own.path(), &endpoint, &truth, &["--no-save"]);
    for commands in [["alloc 24", "gc"], ["free", "gc"], ["alloc 8", "freeosmemory"]] {
        truth.all(&commands);
        let (said, ()) = truth.compare(|| ());
        for (name, key) in [
            ("memtrace.go.heap.inuse", "heap_inuse_bytes"),
            ("memtrace.go.heap.released", "heap_released_bytes"),
            ("memtrace.go.gc.cycles", "num_gc"),
            ("go.memory.allocated", "total_alloc_bytes"),
        ] {
            let counted = said[key].as_f64().expect("a number");
            let expression = format!("{{__name__=\"{name}\"}}");
            wait_until(&format!("{name} to be {counted}"), || {
                (store.value(&expression) == Some(counted)).then_some(())
            });
        }
    }
    let of_pid = format!("count({{__name__=\"go.memory.allocated\",\"process.pid\"=\"{}\"}})", truth.pid());
    assert_eq!(store.value(&of_pid), Some(1.0), "with its attributes");
    let page = agent.ok("/metrics");
    assert!(served(&page, "memtrace_otlp_sent_total{signal=\"metrics\"}") > 0, "{page}");
    for reason in ["queue_full", "refused", "rejected"] {
        let dropped = format!("memtrace_otlp_dropped_total{{signal=\"metrics\",reason=\"{reason}\"}}");
        assert_eq!(served(&page, &dropped), 0, "{page}");
    }
    assert_eq!(agent.memtrace.signalled(libc::SIGTERM).code(), Some(0));
}

#[test]
fn a_grpc_collector_is_told_figures_and_deaths() {
    let (own, [port], collector) = (directory(), free_ports(), Collector::default());
    collector.busy.store(1, Relaxed);
    collector.serve(port);
    let mut truth = quiet_truth();
    let otlp = format!(
        "endpoint = \"http://127.0.0.1:{port}\"\nprotocol = \"grpc\"\nheaders = {{ \"x-tenant\" = \"a\" }}\n\
         resource_attributes = {{ \"deployment.environment.name\" = \"test\" }}"
    );
    let saved = own.path().join("oom");
    let saved = saved.to_str().expect("UTF-8");
    let agent = agent(own.path(), &otlp, &truth, &["--dir", saved]);
    truth.all(&["alloc 24", "gc", "free", "gc", "alloc 8"]);
    let (said, ()) = truth.compare(|| ());
    let counted = |key: &str| Number::AsInt(said[key].as_i64().expect("a number"));
    let pid = truth.pid();
    let newest = wait_until("the figures", || {
        let newest = collector.newest(pid)?;
        let has = |name: &str, key: &str| newest.contains(&(name.to_owned(), None, counted(key)));
        let all = [
            ("memtrace.go.heap.inuse", "heap_inuse_bytes"),
            ("memtrace.go.heap.idle", "heap_idle_bytes"),
            ("memtrace.go.heap.released", "heap_released_bytes"),
            ("go.memory.allocated", "total_alloc_bytes"),
            ("memtrace.go.gc.cycles", "num_gc"),
        ];
        all.iter().all(|(name, key)| has(name, key)).then_some(newest)
    });
    let value = |name: &str, kind: Option<&str>| {
        newest.iter().find(|(of, type_of, _)| of == name && type_of.as_deref() == kind).map(|(.., value)| *value)
    };
    let (stack, other) = (value("go.memory.used", Some("stack")), value("go.memory.used", Some("other")));
    let (Some(Number::AsInt(stack @ 1..)), Some(Number::AsInt(other @ 1..))) = (stack, other) else {
        panic!("{newest:?}")
    };
    let ready = agent.ok("/metrics").lines().find_map(|line| {
        let value = line.strip_prefix("memtrace_go_mapped_ready_bytes{")?.rsplit(' ').next();
        value?.parse::<i64>().ok()
    });
    assert_eq!(Some(stack + other), ready, "all that the runtime holds ready");
    assert!(matches!(value("process.memory.usage", None), Some(Number::AsInt(1..))), "{newest:?}");
    assert_eq!(value("go.processor.limit", None), Some(Number::AsInt(1)), "GOMAXPROCS");
    assert!(matches!(value("go.goroutine.count", None), Some(Number::AsInt(1..))), "{newest:?}");
    for absent in ["go.config.gogc", "go.memory.limit"] {
        assert_eq!(value(absent, None), None, "it is off");
    }
    assert_eq!(collector.headers.lock().expect("headers").as_deref(), Some("a"));
    let resource =
        collector.metrics.lock().expect("metrics")[0].resource_metrics[0].resource.clone().expect("a resource");
    let of = |key: &str| string(&resource.attributes, key);
    assert_eq!(of("service.name").as_deref(), Some("memtrace"));
    assert_eq!(of("deployment.environment.name").as_deref(), Some("test"));
    assert!(of("host.name").is_some_and(|name| !name.is_empty()) && of("service.version").is_some());
    let page = agent.ok("/metrics");
    assert_eq!(served(&page, "memtrace_otlp_failed_attempts_total"), 1, "it was busy once: {page}");

    // A death is a log record, with the dossier as its body.
    truth.kill();
    let record = wait_until("the dossier", || {
        let logs = collector.logs.lock().expect("logs");
        logs.iter().find(|record| record.event_name == "memtrace.dossier").cloned()
    });
    assert_eq!(number(&record.attributes, "process.pid"), Some(pid.into()));
    assert_eq!(string(&record.attributes, "memtrace.trigger").as_deref(), Some("kill"));
    assert_eq!(string(&record.attributes, "process.executable.name").as_deref(), Some("truth"));
    assert_eq!((record.severity_text.as_str(), record.severity_number), ("ERROR", 17));
    let Some(Any::StringValue(body)) = record.body.and_then(|body| body.value) else { panic!("no text") };
    assert!(body.contains(&pid.to_string()) && body.lines().count() > 5, "{body}");
    assert!(record.time_unix_nano > 0 && record.time_unix_nano <= record.observed_time_unix_nano);
}

#[test]
fn an_endpoint_that_is_away_costs_no_more_than_its_queue() {
    const QUEUE: u64 = 64 << 10;
    let (own, [port], collector) = (directory(), free_ports(), Collector::default());
    let truth = quiet_truth();
    let otlp = format!(
        "endpoint = \"http://127.0.0.1:{port}\"\nprotocol = \"grpc\"\ncompression = \"none\"\nmax_queue_bytes = \"64KiB\""
    );
    let agent = agent(own.path(), &otlp, &truth, &["--no-save"]);
    let dropped = "memtrace_otlp_dropped_total{signal=\"metrics\",reason=\"queue_full\"}";
    let page = || {
        let page = agent.ok("/metrics");
        assert!(served(&page, "memtrace_otlp_queue_bytes") <= QUEUE, "{page}");
        page
    };
    let (lost, rss) = wait_until("a full queue", || {
        let lost = served(&page(), dropped);
        (lost > 0).then_some((lost, rss_bytes(agent.memtrace.pid())))
    });
    let later = wait_until("more that is dropped", || Some(served(&page(), dropped)).filter(|later| *later > 2 * lost));
    let grown = rss_bytes(agent.memtrace.pid()).saturating_sub(rss);
    assert!(grown < 8 << 20, "{grown} bytes more after {} points more were dropped", later - lost);
    let failed = served(&page(), "memtrace_otlp_failed_attempts_total");
    assert!(failed > 0, "and nobody was there");

    // It comes back, and takes what is left, and what is new.
    collector.serve(port);
    let (page, received) = wait_until("what was kept", || {
        let (received, page) = (collector.points(), page());
        let sent = served(&page, "memtrace_otlp_sent_total{signal=\"metrics\"}");
        (sent > 0 && sent == received && received == collector.points()).then_some((page, received))
    });
    let lost = served(&page, dropped);
    let more = wait_until("what is new", || Some(collector.points()).filter(|points| *points > received));
    assert!(more > received);
    let after = agent.ok("/metrics");
    assert_eq!(served(&after, dropped), lost, "since then nothing is dropped");
    // The host may have told of pressure meanwhile: logs.
    let all = after.lines().filter_map(|line| line.strip_prefix("memtrace_otlp_dropped_total{")?.rsplit(' ').next());
    let all: u64 = all.map(|n| n.parse::<u64>().expect("a number")).sum();
    let ended = agent.memtrace.signalled(libc::SIGTERM);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
    let account: Value = ended.json().pop().expect("an account");
    assert_eq!(account["account"]["export_dropped"], all, "{account}");
}

#[test]
fn an_endpoint_that_is_silent_holds_nobody_up() {
    // Connections are made, and nothing is ever read of them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (own, truth) = (directory(), quiet_truth());
    for protocol in ["grpc", "http/protobuf"] {
        let endpoint = silent.local_addr().expect("an address");
        let otlp = format!("endpoint = \"http://{endpoint}\"\nprotocol = \"{protocol}\"");
        let agent = agent(own.path(), &otlp, &truth, &["--no-save"]);
        wait_until("what waits", || (served(&agent.ok("/metrics"), "memtrace_otlp_queue_bytes") > 0).then_some(()));
        let asked = Instant::now();
        let ended = agent.memtrace.signalled(libc::SIGTERM);
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(asked.elapsed() < TIMEOUT / 2, "{protocol}: {:?} to end", asked.elapsed());
        let dropped = &ended.json().pop().expect("an account")["account"]["export_dropped"];
        assert_eq!(*dropped, 0, "there was room for it to the end");
        assert!(ended.stderr.contains("data points and log records were not sent"), "{}", ended.stderr);
        println!("{protocol}: ended in {:?}", asked.elapsed());
    }
}

#[test]
fn what_is_not_meant_is_said_in_one_line() {
    let own = directory();
    let config = own.path().join("memtrace.toml");
    for (otlp, why) in [
        ("endpoint = \"collector:4317\"", "line 2: otlp.endpoint: must begin with http:// or https://"),
        ("endpoint = \"https://127.0.0.1:1\"\nca_file = \"/nonexistent\"", "ca_file /nonexistent: "),
        ("endpoint = \"http://127.0.0.1:1\"\nheaders = { \"a b\" = \"c\" }", "headers: a b is no header"),
    ] {
        std::fs::write(&config, format!("[otlp]\n{otlp}\n")).expect("a configuration");
        let config = config.to_str().expect("UTF-8");
        let ended =
            memtrace_tests::Memtrace::run(&["agent", "--no-save", "--listen", "127.0.0.1:0", "--config", config]);
        assert_eq!((ended.code(), ended.stderr.lines().count()), (Some(2), 1), "{otlp}: {}", ended.stderr);
        assert!(ended.stderr.contains(why), "{otlp}: {}", ended.stderr);
    }
}
