//! Where complete dossiers go: to the output, and to the directory that `memtrace oom` reads.
use super::agent::Listening;
use super::recording::Tap;
use super::spill::Spill;
use super::supervisor::Supervisor;
use crate::account::{Account, Exported};
use crate::config::Format;
use crate::dossier::store::{COUNTERS, Store};
use crate::dossier::{BlackBox, Dossier, Reloads};
use crate::event::PressureTold;
use crate::procfs::clock::ClockOffset;
use crate::sink::happened::Happened;
use crate::sink::json;
use crate::sink::oom::{Counters, Document, TimelineJson, write_counters_json, write_json, write_start, write_text};
use crate::sink::text::{Style, write_account};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Deaths that wait to be counted; more are not.
const UNCOUNTED: usize = 1024;

#[derive(Debug)]
pub(super) struct Dossiers {
    store: Option<Store>,
    spill: Option<Spill>,
    written: u64,
    /// Those that could not be counted yet.
    uncounted: Vec<Document>,
    is_started: bool,
    supervisor: Supervisor,
    /// Of `agent` only.
    listening: Option<Listening>,
    /// What is recorded.
    pub(super) tap: Tap,
    /// Last, to who exports events.
    told: Option<Arc<PressureTold>>,
    pub(super) reloads: Reloads,
}

/// Of the room for dossiers this part is for what is saved of the living.
const SPILL: u64 = 4;

/// What is left of it for dossiers, and what that takes.
pub(super) fn room(max_bytes: u64) -> (u64, u64) {
    let spill = max_bytes / SPILL;
    (max_bytes - spill, spill)
}

impl Dossiers {
    pub(super) fn new(store: Option<Store>, spill: Option<Spill>, listening: Option<Listening>, tap: Tap) -> Self {
        Self {
            store,
            spill,
            written: 0,
            uncounted: Vec::new(),
            is_started: false,
            supervisor: Supervisor::new(),
            listening,
            tap,
            told: None,
            reloads: Reloads::default(),
        }
    }

    /// All that is saved together, from the next one on; what is spilled keeps the room it has.
    pub(super) fn limit(&mut self, max_bytes: u64) {
        self.store.iter_mut().for_each(|store| store.limit(room(max_bytes).0));
    }

    /// For who exports events.
    pub(super) fn told(&mut self, told: &Arc<PressureTold>) {
        // Told of each process there, one after the other.
        if self.told.as_ref().is_some_and(|last| Arc::ptr_eq(last, told)) {
            return;
        }
        self.told = Some(Arc::clone(told));
        self.listening.iter().for_each(|listening| listening.events.tell(|| Happened::Pressure(Arc::clone(told))));
    }

    pub(super) fn exported(&self) -> Option<Exported> {
        self.listening.as_ref()?.events.exported()
    }

    /// All that was to be told up to this time is told.
    pub(super) fn beat(
        &mut self,
        out: &mut impl Write,
        format: Format,
        style: Style,
        [since_ns, t_ns]: [u64; 2],
        black_box: &mut BlackBox,
    ) -> io::Result<()> {
        self.start(out, format, style, t_ns, black_box.watched())?;
        self.supervisor.alive(t_ns);
        let mut done = black_box.beat(since_ns);
        if let (Some(store), Some(spill)) = (&self.store, &mut self.spill) {
            done.extend(spill.lost(t_ns, store, black_box));
        }
        for dossier in done {
            self.write(out, format, style, &dossier)?;
        }
        self.spill.iter_mut().for_each(|spill| spill.beat(t_ns, black_box));
        Ok(())
    }

    /// Once, when everybody who is there has been looked at.
    fn start(
        &mut self,
        out: &mut impl Write,
        format: Format,
        style: Style,
        t_ns: u64,
        processes: usize,
    ) -> io::Result<()> {
        if std::mem::replace(&mut self.is_started, true) {
            return Ok(());
        }
        self.supervisor.ready();
        self.listening.iter().for_each(|listening| listening.ready.store(true, Relaxed));
        let listen = self.listening.as_ref().map(|listening| listening.address);
        let saved = self.store.as_ref().map(|store| store.directory().to_string_lossy());
        let (saved, recording) = (saved.as_deref(), self.tap.place());
        match format {
            // A recording has all of them.
            Format::Json => json::write_oom_start(out, t_ns, processes, saved.or(recording), listen)?,
            Format::Text => write_start(out, style, processes, saved, recording, listen)?,
        }
        out.flush()
    }

    /// What cannot be saved is still printed.
    pub(super) fn write(
        &mut self,
        out: &mut impl Write,
        format: Format,
        style: Style,
        dossier: &Dossier,
    ) -> io::Result<()> {
        let document = Document::of(dossier, ClockOffset::of_wall());
        self.listening.iter().for_each(|of| {
            of.events.tell(|| {
                Happened::Dossier(Box::new(Document { timeline: TimelineJson::default(), ..document.clone() }))
            })
        });
        let mut json = Vec::new();
        write_json(&mut json, &document)?;
        self.tap.dossier(dossier.process.target, &document, &json);
        if let Some(store) = &self.store {
            save(store, &document.id, &json);
            if !dossier.trigger.is_of_the_living() {
                let timeline = TimelineJson::default();
                self.uncounted.push(Document { timeline, ..document.clone() });
                count(store, &mut self.uncounted);
            }
        }
        match format {
            Format::Json => out.write_all(&json)?,
            Format::Text => {
                writeln!(out)?;
                write_text(out, &document, style)?;
            }
        }
        self.written += 1;
        out.flush()
    }

    pub(super) fn finish(
        &self,
        out: &mut impl Write,
        format: Format,
        style: Style,
        t_ns: u64,
        account: &Account,
    ) -> io::Result<()> {
        match format {
            Format::Json => json::write_oom_account(out, t_ns, account),
            Format::Text => {
                writeln!(out, "\n{} dossiers", self.written)?;
                write_account(out, style, account)
            }
        }
    }
}

/// What cannot be counted now, on a full disk, is with the next.
fn count(store: &Store, uncounted: &mut Vec<Document>) {
    let counted = store.update(COUNTERS, |content| {
        let mut counters = match content.as_deref().map(Counters::parse) {
            None => Counters::default(),
            Some(Ok(counters)) => counters,
            Some(Err(why)) => {
                log::error!("{COUNTERS} in {}: {why}: counted from 0", store.directory().display());
                Counters::default()
            }
        };
        uncounted.iter().for_each(|document| counters.add(document));
        let mut json = Vec::new();
        write_counters_json(&mut json, &counters).map(|()| json)
    });
    match counted {
        Ok(()) => uncounted.clear(),
        Err(why) => {
            log::warn!("cannot count in {}: {why}", store.directory().display());
            uncounted.truncate(UNCOUNTED);
        }
    }
}

fn save(store: &Store, id: &str, content: &[u8]) {
    match store.save(id, content) {
        Ok(gone) => {
            log::info!("saved as {}/{id}.json", store.directory().display());
            gone.iter().for_each(|id| log::warn!("dossier {id} was removed to make room"));
        }
        Err(why) => log::error!("cannot save dossier {id} in {}: {why}", store.directory().display()),
    }
}
