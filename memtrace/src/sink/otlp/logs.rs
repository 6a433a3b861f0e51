//! What happens, as log records.
use super::points::{attribute, text};
use crate::cgroup::workload::WorkloadBy;
use crate::event::PressureTold;
use crate::procfs::clock::ClockOffset;
use crate::sink::happened::Happened;
use crate::sink::oom::{Document, write_text};
use crate::sink::text::{Style, told};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyKind;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use std::path::Path;

pub(super) fn record(happened: &Happened, observed_ns: u64) -> LogRecord {
    match happened {
        Happened::Dossier(document) => of_dossier(document, observed_ns),
        Happened::Pressure(told) => of_pressure(told, observed_ns),
    }
}

fn wall_ns(monotonic_ns: u64) -> u64 {
    ClockOffset::of_wall().from_monotonic(monotonic_ns)
}

/// The body is what a person reads.
fn of_dossier(document: &Document, observed_ns: u64) -> LogRecord {
    let is_of_the_living = matches!(document.trigger.as_str(), "headroom" | "command");
    let severity = if is_of_the_living { SeverityNumber::Warn } else { SeverityNumber::Error };
    let mut body = Vec::new();
    let body = match write_text(&mut body, document, Style { color: false }) {
        Ok(()) => String::from_utf8_lossy(&body).into_owned(),
        Err(why) => why.to_string(),
    };
    let victim = &document.victim;
    let exe = victim.exe.as_deref().and_then(|exe| Path::new(exe).file_name()).map(|name| name.to_string_lossy());
    let mut attributes = vec![
        text("memtrace.dossier.id", &document.id),
        text("memtrace.trigger", &document.trigger),
        text("memtrace.cause", &document.cause),
        text("memtrace.verdict", &document.verdict.pattern),
    ];
    attributes.extend(victim.pid.map(|pid| attribute("process.pid", AnyKind::IntValue(pid.into()))));
    attributes.extend(exe.map(|exe| text("process.executable.name", &exe)));
    attributes.extend(victim.comm.as_deref().map(|comm| text("memtrace.process.comm", comm)));
    attributes.extend(victim.go_version.as_deref().map(|version| text("process.runtime.version", version)));
    if let Some(workload) = &document.workload {
        attributes.push(text("memtrace.workload.name", &workload.name));
        attributes.push(text("memtrace.workload.by", &workload.by));
        attributes.extend(namespace(&workload.name, &workload.by));
    }
    log(wall_ns(document.killed_at_ns), observed_ns, severity, "memtrace.dossier", body, attributes)
}

/// Of `namespace/name/container`.
fn namespace(name: &str, by: &str) -> Option<KeyValue> {
    let (namespace, _) = name.split_once('/').filter(|_| by == WorkloadBy::Kubernetes.name())?;
    Some(text("k8s.namespace.name", namespace))
}

fn of_pressure(of: &PressureTold, observed_ns: u64) -> LogRecord {
    let cgroup = of.cgroup.as_deref().map(|at| text("memtrace.cgroup.path", &at.to_string_lossy()));
    let times = attribute("memtrace.pressure.times", AnyKind::IntValue(i64::try_from(of.times).unwrap_or(i64::MAX)));
    let attributes = [text("memtrace.pressure.what", of.what.name()), times].into_iter().chain(cgroup).collect();
    log(wall_ns(of.t_ns), observed_ns, SeverityNumber::Warn, "memtrace.pressure", told(of), attributes)
}

fn log(
    time_ns: u64,
    observed_ns: u64,
    severity: SeverityNumber,
    event: &str,
    body: String,
    attributes: Vec<KeyValue>,
) -> LogRecord {
    LogRecord {
        time_unix_nano: time_ns,
        observed_time_unix_nano: observed_ns,
        severity_number: severity.into(),
        severity_text: if severity == SeverityNumber::Error { "ERROR" } else { "WARN" }.to_owned(),
        body: Some(AnyValue { value: Some(AnyKind::StringValue(body)) }),
        attributes,
        event_name: event.to_owned(),
        ..LogRecord::default()
    }
}
