//! What is known now, by the metrics of one table: in Prometheus' text format, and for other renderings. What is not known
//! has no series.
mod admitted;
mod compat;
mod deaths;
mod families;
mod histogram;
mod process;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use admitted::Admitted;
pub(super) use families::Families;
#[cfg(feature = "otlp")]
pub(super) use families::{Label, Series, Value};
#[cfg(feature = "otlp")]
pub(super) use histogram::Histogram;
#[cfg(all(test, feature = "otlp"))]
pub(super) use table::Kind;
pub(super) use table::Metric;

use super::oom::Counters;
use crate::account::{Exported, ProgramAccount};
use crate::dossier::{Present, Uploaded};
use crate::procfs::own::OwnCost;
use families::label;
use prometheus::TEXT_FORMAT;

pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// All that a scrape tells.
#[derive(Clone, Copy, Debug)]
pub struct Scrape<'a> {
    pub present: &'a Present,
    pub own: OwnCost,
    /// `None`: dossiers are not saved, or none was yet.
    pub deaths: Option<&'a Counters>,
    /// Processes, and workloads of the dead, with series of their own.
    pub max_series: usize,
    /// Also by the names that client_golang gives to what a process says of itself.
    pub compat_names: bool,
}

impl Scrape<'_> {
    pub fn render(&self, admitted: &mut Admitted) -> Result<String, prometheus::Error> {
        let mut text = text::encode(self.collect(admitted))?;
        if self.compat_names {
            text.push_str(&compat::render(admitted.own(&self.present.processes))?);
        }
        Ok(text)
    }

    /// Every series. `admitted`: of the scrapes of one reader, or of those that read the same.
    pub(super) fn collect(&self, admitted: &mut Admitted) -> Families {
        let mut families = Families::default();
        admitted.add(&mut families, self.present, self.max_series);
        let Present { account, sampling, lives, without_timeline, .. } = self.present;
        account.programs.iter().for_each(|program| add_probe(&mut families, program));
        for (metric, value) in [
            (Metric::WithoutTimeline, *without_timeline),
            (Metric::Met, lives.met),
            (Metric::Unidentified, lives.unidentified),
            (Metric::Shed, account.shed),
            (Metric::DecodeErrors, account.decode_errors),
            (Metric::Samples, sampling.points),
            (Metric::SamplesThinned, sampling.thinned),
            (Metric::CloseLooks, sampling.looks),
        ] {
            families.add(metric, &[], value);
        }
        for (reason, n) in [("ended", lives.ended), ("unheard", lives.unheard), ("not_meant", lives.not_meant)] {
            families.add(Metric::Gone, &[label("reason", reason)], n);
        }
        if let Some(exported) = &account.exported {
            add_exported(&mut families, exported);
        }
        families.add(Metric::SelfResident, &[], self.own.rss_bytes);
        let ration = self.present.ration;
        if let Some(max_rss_bytes) = ration.max_rss_bytes {
            families.add(Metric::SelfMaxResident, &[], max_rss_bytes);
            families.add(Metric::TimelineBytes, &[], ration.timeline_bytes);
            families.add(Metric::Shortened, &[], ration.shortened);
        }
        families.add_float(Metric::SelfCpu, &[], self.own.cpu.map(|cpu| cpu.as_secs_f64()));
        families.add(Metric::SelfFds, &[], self.own.open_fds);
        families.add_float(Metric::SelfStart, &[], self.own.started.map(|since_1970| since_1970.as_secs_f64()));
        let reloads = self.present.reloads;
        for (result, n) in [("success", reloads.succeeded), ("failure", reloads.failed)] {
            families.add(Metric::Reloads, &[label("result", result)], n);
        }
        families.add(Metric::ReloadedWell, &[], u64::from(!reloads.last_failed));
        families.add(Metric::Build, &[label("version", env!("CARGO_PKG_VERSION"))], 1);
        let recording = self.present.recording;
        families.add(Metric::RecordedRows, &[], recording.map(|of| of.rows));
        families.add(Metric::RecordedDropped, &[], recording.map(|of| of.dropped_rows));
        families.add(Metric::RecordedBytes, &[], recording.map(|of| of.bytes));
        if let Some(uploaded) = recording.and_then(|of| of.upload) {
            add_uploaded(&mut families, uploaded);
        }
        if let Some(deaths) = self.deaths {
            deaths::add(&mut families, deaths, self.max_series);
        }
        families
    }
}

fn add_probe(families: &mut Families, program: &ProgramAccount) {
    let of = [label("probe", &program.name)];
    families.add(Metric::Hits, &of, program.hits);
    families.add(Metric::Filtered, &of, program.filtered);
    families.add(Metric::Summed, &of, program.summed);
    families.add(Metric::Submitted, &of, program.submitted);
    for (reason, n) in [("ring_full", program.ring_full), ("read_failed", program.read_failed)] {
        families.add(Metric::Lost, &[label("probe", &program.name), label("reason", reason)], n);
    }
}

fn add_uploaded(families: &mut Families, of: Uploaded) {
    for (metric, value) in [
        (Metric::UploadedFiles, of.files),
        (Metric::UploadedBytes, of.bytes),
        (Metric::UploadFailures, of.failures),
        (Metric::UploadWaiting, of.waiting),
    ] {
        families.add(metric, &[], value);
    }
    for (reason, n) in [("max_bytes", of.dropped_bytes), ("max_age", of.dropped_age)] {
        families.add(Metric::UploadDropped, &[label("reason", reason)], n);
    }
    families.add_float(Metric::UploadSuccess, &[], of.last_success_ms.map(|ms| ms as f64 / 1000.0));
}

fn add_exported(families: &mut Families, exported: &Exported) {
    for (signal, of) in [("metrics", &exported.metrics), ("logs", &exported.logs)] {
        let signal = label("signal", signal);
        families.add(Metric::OtlpSent, std::slice::from_ref(&signal), of.sent);
        for (reason, n) in [("queue_full", of.queue_full), ("refused", of.refused), ("rejected", of.rejected)] {
            families.add(Metric::OtlpDropped, &[signal.clone(), label("reason", reason)], n);
        }
    }
    families.add(Metric::OtlpFailures, &[], exported.failed_attempts);
    families.add(Metric::OtlpQueue, &[], exported.queue_bytes);
}
