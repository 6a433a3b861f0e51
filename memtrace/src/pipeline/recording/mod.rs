//! `memtrace record`, and what `agent` records: rows of what passes through the processing thread anyway. It never waits:
//! what the recorder has no room for is counted.
mod labels;

use super::watch::watch;
use super::work::Ask;
use crate::account::Account;
use crate::config::Record;
use crate::config::file::{Recording, check_node};
use crate::dossier::{BlackBox, Present, Recorded};
use crate::enrich::{Closeup, News};
use crate::error::Error;
use crate::event::{Event, TargetId, TaskWhat};
use crate::procfs::clock::{self, ClockOffset};
use crate::procfs::host;
use crate::sink::oom::Document;
use crate::sink::recording::{Place, Recorder, RecorderConfig, Row, Uploader, When};
use crate::sink::text::{Style, TraceText};
use crate::sink::{TraceLine, json};
use crate::timeline::Point;
use labels::Known;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::sync::oneshot;

/// The ledger and the account are written down so often.
const LEDGER_NS: u64 = 10_000_000_000;

/// `memtrace record`.
pub fn record(config: Record, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    let Record { watch: config, recording, file } = config;
    let is_named = !config.session.targets.discovers();
    watch(config, None, || Tap::start(&recording, file.as_deref(), is_named, None), out)
}

/// Where the agent uploads what it records; `None`: nowhere. What is wrong with the files that it needs is said.
pub(super) fn uploader(config: &Recording) -> Result<Option<Uploader>, Error> {
    let is_wanted = config.enabled && config.upload.place().is_some();
    is_wanted.then(|| Uploader::new(&config.upload)).transpose()
}

/// What the processing thread has of a recording.
#[derive(Debug, Default)]
pub(super) struct Tap(Option<Box<Open>>);

struct Open {
    recorder: Recorder,
    place: String,
    known: HashMap<TargetId, Known>,
    wall: ClockOffset,
    text: TraceText,
    /// Memory calls too, of processes that were named.
    has_calls: bool,
    ledger_ns: u64,
    next_ledger_ns: u64,
    /// Ended since the last ledger, and before it.
    over: Vec<TargetId>,
    gone: Vec<TargetId>,
    /// The kernel's counters, which were asked for.
    counters: Option<oneshot::Receiver<Box<Present>>>,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("recorder", &self.recorder).finish_non_exhaustive()
    }
}

impl Tap {
    pub(super) fn of_agent(config: &Recording, upload: Option<Uploader>) -> Result<Tap, Error> {
        if config.enabled { Tap::start(config, None, false, upload) } else { Ok(Tap(None)) }
    }

    fn start(config: &Recording, file: Option<&Path>, has_calls: bool, upload: Option<Uploader>) -> Result<Tap, Error> {
        let Recording { directory, max_bytes, max_age, flush_interval, node, .. } = config.clone();
        let shown = file.unwrap_or(&directory).display().to_string();
        let place = match file {
            Some(path) => Place::File(path.to_owned()),
            None => Place::Store { directory, max_bytes, max_age, upload },
        };
        let node = if node.is_empty() { host_name() } else { node };
        let recorder = Recorder::start(RecorderConfig { place, node, flush_interval })?;
        let now_ns = clock::monotonic_ns();
        let mut text = TraceText::new(Style { color: false }, now_ns);
        text.write_header(&mut io::sink()).map_err(Error::io("cannot begin a recording"))?;
        let ledger_ns = u64::try_from(flush_interval.as_nanos()).unwrap_or(u64::MAX).min(LEDGER_NS);
        Ok(Tap(Some(Box::new(Open {
            recorder,
            place: shown,
            known: HashMap::new(),
            wall: ClockOffset::of_wall(),
            text,
            has_calls,
            ledger_ns,
            next_ledger_ns: now_ns.saturating_add(ledger_ns),
            over: Vec::new(),
            gone: Vec::new(),
            counters: None,
        }))))
    }

    /// Who they are.
    pub(super) fn news(&mut self, news: &News) {
        let Some(open) = &mut self.0 else { return };
        match news {
            News::Process(info) => open.known.entry(info.target).or_default().is(info),
            News::Where(target, cgroup) => open.known.entry(*target).or_default().is_in(cgroup.clone()),
            News::Workload(target, workload) => open.known.entry(*target).or_default().counts_as(workload),
            News::NotMeant(target) => drop(open.known.remove(target)),
            _ => {}
        }
    }

    pub(super) fn event(&mut self, event: &Event, message: Option<&str>) {
        if let Some(open) = &mut self.0 {
            // A buffer in memory takes all.
            let _ = open.event(event, message);
        }
    }

    pub(super) fn point(&mut self, target: TargetId, point: Option<&Point>) {
        let Some((open, point)) = self.0.as_mut().zip(point) else { return };
        let at = When::of(point.t_ns, open.wall);
        if let Some(known) = open.known.get_mut(&target) {
            known.is_meant = true;
            open.recorder.put(Row::sample(at, known.labels(), point));
        }
    }

    pub(super) fn closeup(&mut self, closeup: &Closeup) {
        let Some((open, fall)) = self.0.as_mut().zip(closeup.waterfall.as_ref()) else { return };
        let at = When::of(closeup.t_ns, open.wall);
        if let Some(known) = open.known.get_mut(&closeup.target) {
            Row::waterfall(at, known.labels(), fall).into_iter().for_each(|row| open.recorder.put(row));
        }
    }

    /// `json`: all of it.
    pub(super) fn dossier(&mut self, target: TargetId, document: &Document, json: &[u8]) {
        let Some((open, json)) = self.0.as_mut().zip(std::str::from_utf8(json).ok()) else { return };
        let at = When::of(document.killed_at_ns, open.wall);
        let labels = open.known.get_mut(&target).map(|known| known.labels());
        open.recorder.put(Row::oom(at, labels, document, json));
    }

    /// The ledger of everybody, when it is time.
    pub(super) fn beat(&mut self, t_ns: u64, black_box: &BlackBox, account: Account, ask: &mut impl FnMut(Ask)) {
        let Some(open) = &mut self.0 else { return };
        open.wall = ClockOffset::of_wall();
        if let Some(Ok(present)) = open.counters.as_mut().map(oneshot::Receiver::try_recv) {
            open.counters = None;
            open.account(present.t_ns, &present.account);
        }
        if t_ns >= open.next_ledger_ns {
            open.next_ledger_ns = t_ns.saturating_add(open.ledger_ns);
            open.ledgers(t_ns, black_box, false);
            let (to, from) = oneshot::channel();
            open.counters = Some(from);
            ask(Ask::Programs(Box::new(Present { t_ns, account, ..Present::default() }), to));
        }
    }

    /// Where it goes.
    pub(super) fn place(&self) -> Option<&str> {
        self.0.as_ref().map(|open| open.place.as_str())
    }

    pub(super) fn counts(&self) -> Option<Recorded> {
        self.0.as_ref().map(|open| open.recorder.counts())
    }

    /// The last of everything; all is on disk afterwards.
    pub(super) fn finish(&mut self, t_ns: u64, black_box: &BlackBox, account: &Account) -> io::Result<()> {
        let Some(open) = &mut self.0 else { return Ok(()) };
        open.ledgers(t_ns, black_box, true);
        open.account(t_ns, account);
        open.recorder.finish()
    }
}

impl Open {
    fn event(&mut self, event: &Event, message: Option<&str>) -> io::Result<()> {
        let Some(meta) = event.meta() else { return Ok(()) };
        let is_call = matches!(event, Event::Advise(_) | Event::Map(_));
        let known = match self.known.entry(meta.target) {
            Entry::Occupied(known) if self.has_calls || (known.get().is_meant && !is_call) => known.into_mut(),
            // Whoever was named is meant, and so are its children.
            Entry::Vacant(place) if self.has_calls && meta.target != 0 => {
                place.insert(Known::of(meta.target, meta.tgid))
            }
            _ => return Ok(()),
        };
        if let Event::Task(task) = event {
            match task.what {
                TaskWhat::Exit { .. } => self.over.push(meta.target),
                TaskWhat::Fork { .. } | TaskWhat::Exec { .. } => known.named(task.comm_text()),
                TaskWhat::Kill { .. } => {}
            }
        }
        let comm = known.comm();
        let line = TraceLine { event, comm: comm.as_deref(), stack: None, message };
        let (mut text, mut json) = (Vec::new(), Vec::new());
        self.text.write(&mut text, &line)?;
        json::write_trace(&mut json, &line)?;
        let (text, json) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(&json));
        let at = When::of(meta.t_ns, self.wall);
        if let Some(row) = Row::event(at, known.labels(), event, &text, &json) {
            self.recorder.put(row);
        }
        Ok(())
    }

    /// Of those that live, and a last time of those that had ended at the last one: what they left is known by now.
    fn ledgers(&mut self, t_ns: u64, black_box: &BlackBox, is_last: bool) {
        let living = black_box.present(t_ns).processes.into_iter().map(|living| living.process);
        let over = std::mem::take(&mut self.over);
        let mut gone = std::mem::replace(&mut self.gone, over);
        if is_last {
            gone.append(&mut self.gone);
        }
        let ended = gone.iter().filter_map(|target| black_box.process(*target));
        let at = When::of(t_ns, self.wall);
        for process in living.chain(ended) {
            if let Some(known) = self.known.get_mut(&process.target) {
                self.recorder.put(Row::ledger(at, known.labels(), &process));
            }
        }
        // Their dossiers, which take a while, have had names too.
        gone.iter().for_each(|target| drop(self.known.remove(target)));
        // Of some the end was lost.
        self.known.retain(|target, _| black_box.knows(*target));
    }

    fn account(&mut self, t_ns: u64, account: &Account) {
        let at = When::of(t_ns, self.wall);
        let dropped = self.recorder.counts().dropped_rows;
        Row::account(at, account, dropped).into_iter().for_each(|row| self.recorder.put(row));
    }
}

/// As far as it can be the name of a directory.
fn host_name() -> String {
    let name = host::name();
    if !name.is_empty() && check_node(&name).is_ok() { name } else { "unknown".to_owned() }
}
