//! Metrics and events in OpenTelemetry's protocol, from a thread of its own. Bounded: what waits to be sent, the time of an
//! attempt, and what is read of an answer. Nobody waits for it.
mod client;
mod connect;
mod logs;
mod names;
mod points;
mod queue;
#[cfg(test)]
mod tests;
mod verdict;

use super::background::Background;
use super::happened::{Events, ExportCounts, Happened};
use super::http::Sources;
use super::metrics::{Admitted, Scrape};
use crate::config::file::Otlp;
use crate::error::Error;
use crate::procfs::clock::{ClockOffset, monotonic_ns};
use crate::procfs::host;
use crate::procfs::own::OwnCost;
use client::{Client, Packing};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use points::Times;
use prost::Message as _;
use queue::{Batch, Queue, Signal};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use verdict::Outcome;

/// Events that wait to be encoded; more are dropped, and counted.
const EVENTS: usize = 256;
/// Between two attempts: twice as long each time.
const BACKOFF: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// At the end, for what is still waiting.
const FLUSH: Duration = Duration::from_millis(500);

/// Ready to be started.
pub struct Exporter {
    config: Otlp,
    client: Client,
    counts: Arc<ExportCounts>,
    events: Events,
    happened: Receiver<Happened>,
}

impl Exporter {
    pub fn new(config: Otlp) -> Result<Exporter, Error> {
        let (client, counts) = (Client::new(&config)?, Arc::<ExportCounts>::default());
        let (to, happened) = channel(EVENTS);
        let events = Events(Some((to, Arc::clone(&counts))));
        Ok(Exporter { config, client, counts, events, happened })
    }

    /// Where events are told.
    pub fn events(&self) -> Events {
        self.events.clone()
    }

    /// Sends as long as what it returns lives, and tries once more to send what waits then. `max_series`: processes with figures
    /// of their own.
    pub fn start(self, sources: Arc<dyn Sources>, max_series: usize) -> Result<Background, Error> {
        Background::start("otlp", |stopped| Ok(self.run(sources, max_series, stopped)))
    }

    async fn run(self, sources: Arc<dyn Sources>, max_series: usize, stopped: oneshot::Receiver<()>) {
        let Exporter { config, client, counts, events, mut happened } = self;
        // Only those who tell keep it open.
        drop(events);
        let encoder = Encoder::new(&config, &client);
        let queue = Queue::new(config.max_queue_bytes, Arc::clone(&counts));
        let mut sender =
            Sender { client, counts: &counts, queue: &queue, hand: None, said: false, refused: [false; 2] };
        let collecting = collect(&config, (&*sources, max_series), &encoder, &queue);
        let logging = async {
            while let Some(first) = happened.recv().await {
                let mut all = vec![first];
                while let Ok(next) = happened.try_recv() {
                    all.push(next);
                }
                queue.push(encoder.logs(&all));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = async { tokio::join!(collecting, logging, sender.forever()); } => {}
            _ = stopped => {}
        }
        while let Ok(last) = happened.try_recv() {
            queue.push(encoder.logs(&[last]));
        }
        sender.flush().await;
    }
}

/// Once every interval; an answer that does not come in one is none.
async fn collect(config: &Otlp, (sources, max_series): (&dyn Sources, usize), encoder: &Encoder, queue: &Queue) {
    let mut ticks = interval(config.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut admitted = Admitted::default();
    loop {
        ticks.tick().await;
        let (to, from) = oneshot::channel();
        if !sources.present(to) {
            continue;
        }
        let Ok(Ok(present)) = timeout(config.interval, from).await else { continue };
        let deaths = sources.deaths();
        let deaths = deaths.as_ref();
        let scrape = Scrape { present: &present, own: OwnCost::read(), deaths, max_series, compat_names: false };
        encoder.metrics(&scrape, &mut admitted).into_iter().for_each(|batch| queue.push(batch));
    }
}

struct Encoder {
    resource: Resource,
    scope: InstrumentationScope,
    start_ns: u64,
    packing: Packing,
}

impl Encoder {
    fn new(config: &Otlp, client: &Client) -> Encoder {
        let own = [
            ("service.name", "memtrace".to_owned()),
            ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
            ("host.name", host::name()),
        ];
        let mut attributes: BTreeMap<&str, &str> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
        attributes.extend(config.resource_attributes.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let attributes = attributes.into_iter().map(|(key, value)| points::text(key, value)).collect();
        Encoder {
            resource: Resource { attributes, ..Resource::default() },
            scope: InstrumentationScope {
                name: "memtrace".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            },
            start_ns: now_ns(),
            packing: client.packing(),
        }
    }

    fn metrics(&self, scrape: &Scrape<'_>, admitted: &mut Admitted) -> Vec<Batch> {
        let now_ns = ClockOffset::of_wall().from_monotonic(scrape.present.t_ns);
        let times = Times { start_ns: self.start_ns.min(now_ns), now_ns };
        let batch = |(items, metrics)| {
            let scope = ScopeMetrics { scope: Some(self.scope.clone()), metrics, ..ScopeMetrics::default() };
            let resource = Some(self.resource.clone());
            let of = ResourceMetrics { resource, scope_metrics: vec![scope], ..ResourceMetrics::default() };
            let message = ExportMetricsServiceRequest { resource_metrics: vec![of] };
            Batch { signal: Signal::Metrics, items, payload: self.packing.pack(&message.encode_to_vec()) }
        };
        points::metrics(scrape.collect(admitted), times).into_iter().map(batch).collect()
    }

    fn logs(&self, happened: &[Happened]) -> Batch {
        let now_ns = now_ns();
        let log_records: Vec<_> = happened.iter().map(|happened| logs::record(happened, now_ns)).collect();
        let items = log_records.len() as u64;
        let scope = ScopeLogs { scope: Some(self.scope.clone()), log_records, ..ScopeLogs::default() };
        let resource = Some(self.resource.clone());
        let of = ResourceLogs { resource, scope_logs: vec![scope], ..ResourceLogs::default() };
        let message = ExportLogsServiceRequest { resource_logs: vec![of] };
        Batch { signal: Signal::Logs, items, payload: self.packing.pack(&message.encode_to_vec()) }
    }
}

fn now_ns() -> u64 {
    ClockOffset::of_wall().from_monotonic(monotonic_ns())
}

struct Sender<'a> {
    client: Client,
    counts: &'a ExportCounts,
    queue: &'a Queue,
    /// Under way: it is in no queue.
    hand: Option<Batch>,
    /// That it fails was said, once for each time that it begins to.
    said: bool,
    /// That it is refused was said, of metrics and of logs.
    refused: [bool; 2],
}

impl Sender<'_> {
    async fn forever(&mut self) {
        loop {
            let batch = self.hand.insert(self.queue.next().await).clone();
            let mut wait = *BACKOFF.start();
            while let Some(after) = self.attempt(&batch).await {
                // Not all agents of a cluster at the same time.
                let wait_now = after.unwrap_or_default().max(wait / 2 + (wait / 2).mul_f64(part()));
                sleep(wait_now).await;
                wait = (wait * 2).min(*BACKOFF.end());
            }
            self.hand = None;
        }
    }

    /// `Some`: again, and no earlier than after so long.
    async fn attempt(&mut self, batch: &Batch) -> Option<Option<Duration>> {
        let counts = batch.signal.counts(self.counts);
        match self.client.send(batch).await {
            Outcome::Sent { rejected, why } => {
                let rejected = rejected.min(batch.items);
                counts.sent.fetch_add(batch.items - rejected, Relaxed);
                counts.rejected.fetch_add(rejected, Relaxed);
                if rejected > 0 {
                    log::debug!("otlp: {rejected} of {} were rejected: {why}", batch.items);
                }
                if std::mem::take(&mut self.said) {
                    log::info!("otlp: the endpoint takes what is sent again");
                }
                None
            }
            Outcome::Refused { why } => {
                counts.refused.fetch_add(batch.items, Relaxed);
                if !std::mem::replace(&mut self.refused[batch.signal as usize], true) {
                    log::warn!("otlp: the endpoint refuses {:?}: {why}", batch.signal);
                }
                None
            }
            Outcome::Again { after, why } => {
                self.counts.failed_attempts.fetch_add(1, Relaxed);
                self.say(&format!("not sent, and tried again: {why}"));
                Some(after)
            }
        }
    }

    fn say(&mut self, what: &str) {
        if !std::mem::replace(&mut self.said, true) {
            log::warn!("otlp: {what}");
        }
    }

    /// One attempt for each, as long as there is time.
    async fn flush(&mut self) {
        let end = Instant::now() + FLUSH;
        while let Some(batch) = self.hand.take().or_else(|| self.queue.pop()) {
            let left = end.saturating_duration_since(Instant::now());
            if !matches!(timeout(left, self.attempt(&batch)).await, Ok(None)) {
                batch.signal.counts(self.counts).queue_full.fetch_add(batch.items, Relaxed);
            }
        }
        let lost = self.counts.now();
        let dropped = lost.metrics.dropped() + lost.logs.dropped();
        if dropped > 0 {
            log::warn!("otlp: {dropped} data points and log records were not sent");
        }
    }
}

/// Random, from 0 to 1.
fn part() -> f64 {
    RandomState::new().hash_one(monotonic_ns()) as f64 / u64::MAX as f64
}
