//! The processing thread: decode, aggregate or print; synchronous, no I/O but its own output.
use super::dossiers::Dossiers;
use super::sites::Sites;
use crate::account::{Account, ProgramAccount};
use crate::aggregate::{AggregateConfig, Aggregator, Creators};
use crate::config::Format;
use crate::config::file::File;
use crate::decode::Decoder;
use crate::dossier::{BlackBox, Dossier, Need, Present};
use crate::enrich::News;
use crate::event::{Event, LastWords, TargetId, TaskEvent, TaskWhat, Walk};
use crate::kernel::{Proof, Stacks};
use crate::sink::text::{IntervalText, Style, TraceText, write_account, write_summary};
use crate::sink::{TraceLine, json};
use crate::source::ring::{Batch, DrainCounts};
use black_box::{ration, said, settle, watched};
use creators::{name_creators, remember};
use memtrace_common::advice;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::oneshot;

/// Everything the processing thread is given, in the order it came.
pub(super) enum Work {
    Batch(Batch),
    News(Vec<News>),
    Tick {
        t_ns: u64,
        programs: Vec<ProgramAccount>,
    },
    /// The configuration was read again; `None`: it is wrong, and what was read before counts.
    Settings(Option<Box<File>>),
    /// The user asks for dossiers of the living.
    Command(u64),
    /// Somebody asks what is known, and when that was.
    Present(u64, oneshot::Sender<Box<Present>>),
    /// Somebody asks all that is known of a process.
    Portrait(u32, u64, oneshot::Sender<Option<Box<Dossier>>>),
    /// The last of the rings has been handed on; only the follower has more to say.
    Last,
    Finish {
        t_ns: u64,
        programs: Vec<ProgramAccount>,
        skipped_runs: Option<u64>,
    },
}

/// What it asks of the follower while it works.
pub(super) enum Ask {
    Task(Box<TaskEvent>),
    UsesFree(u32),
    Words(Box<LastWords>),
    Walk(Box<Walk>),
    /// An answer that lacks the kernel's counters, and who waits for it.
    Programs(Box<Present>, oneshot::Sender<Box<Present>>),
    /// For the black box.
    Look {
        pid: u32,
        target: TargetId,
        need: Need,
    },
}

/// Names remembered for `trace`; more are looked up again.
const MAX_NAMES: usize = 16384;

enum View {
    Stat {
        aggregator: Box<Aggregator>,
        interval: IntervalText,
        intervals: bool,
        creators: Option<Box<(Sites, Creators)>>,
    },
    Trace {
        text: TraceText,
        names: HashMap<TargetId, String>,
        sites: Box<Sites>,
        /// Bits 1 << kind: what is shown; tasks are always received, since targets are followed by them.
        families: u32,
        seen: bool,
    },
    Watch {
        black_box: Box<BlackBox>,
        dossiers: Box<Dossiers>,
        sites: Box<Sites>,
    },
}

pub(super) struct Processing<W: Write> {
    decoder: Decoder,
    view: View,
    format: Format,
    style: Style,
    counts: Arc<DrainCounts>,
    decoded: u64,
    decode_errors: u64,
    notes: Vec<String>,
    out: W,
}

impl<W: Write> Processing<W> {
    pub(super) fn stat(
        decoder: Decoder,
        start_ns: u64,
        format: Format,
        style: Style,
        intervals: bool,
        stacks: Option<Stacks>,
        out: W,
    ) -> Self {
        let creators = stacks.map(|stacks| Box::new((Sites::new(Some(stacks)), Creators::default())));
        let aggregator = Box::new(Aggregator::new(AggregateConfig::starting_at(start_ns)));
        let view = View::Stat { aggregator, interval: IntervalText::new(style, start_ns), intervals, creators };
        Self::new(decoder, view, format, style, out)
    }

    pub(super) fn trace(
        decoder: Decoder,
        start_ns: u64,
        format: Format,
        style: Style,
        stacks: Option<Stacks>,
        families: u32,
        out: W,
    ) -> Self {
        let sites = Box::new(Sites::new(stacks));
        let text = TraceText::new(style, start_ns);
        Self::new(
            decoder,
            View::Trace { text, names: HashMap::new(), sites, families, seen: false },
            format,
            style,
            out,
        )
    }

    pub(super) fn watch(
        decoder: Decoder,
        black_box: BlackBox,
        format: Format,
        style: Style,
        dossiers: Dossiers,
        out: W,
    ) -> Self {
        let (black_box, dossiers, sites) = (Box::new(black_box), Box::new(dossiers), Box::new(Sites::new(None)));
        let view = View::Watch { black_box, dossiers, sites };
        Self::new(decoder, view, format, style, out)
    }

    fn new(decoder: Decoder, view: View, format: Format, style: Style, out: W) -> Self {
        let (counts, notes) = (Arc::default(), Vec::new());
        Self { decoder, view, format, style, counts, decoded: 0, decode_errors: 0, notes, out }
    }

    /// The drain's counters, and what the self-test has already taken out of the rings.
    pub(super) fn accounting(mut self, counts: Arc<DrainCounts>, proof: Proof) -> Self {
        counts.received.fetch_add(proof.received, Relaxed);
        self.counts = counts;
        self.decoded = proof.decoded;
        self.decode_errors = proof.decode_errors;
        self
    }

    /// True: that was the last piece. An error is the output's.
    pub(super) fn take(&mut self, work: Work, ask: &mut impl FnMut(Ask)) -> io::Result<bool> {
        match work {
            Work::Batch(batch) => {
                for record in batch.iter() {
                    match self.decoder.decode(record) {
                        Ok(event) => {
                            self.decoded += 1;
                            self.event(&event, ask)?;
                        }
                        Err(e) => {
                            self.decode_errors += 1;
                            log::debug!("{e}");
                        }
                    }
                }
                if matches!(self.view, View::Trace { .. }) {
                    self.out.flush()?;
                }
            }
            Work::News(all) => all.into_iter().try_for_each(|news| self.news(news, ask))?,
            Work::Tick { t_ns, programs } => self.tick(t_ns, programs)?,
            Work::Command(t_ns) => {
                if let View::Watch { black_box, .. } = &mut self.view {
                    let all = black_box.command(t_ns);
                    all.into_iter().for_each(|(target, pid)| ask(Ask::Look { pid, target, need: Need::Look }));
                }
            }
            Work::Settings(read) => settle(&mut self.view, read),
            Work::Present(t_ns, to) => {
                if let View::Watch { black_box, dossiers, .. } = &self.view {
                    let (recording, reloads) = (dossiers.tap.counts(), dossiers.reloads);
                    let account = self.account(Vec::new());
                    let present = Present { account, recording, reloads, ..black_box.present(t_ns) };
                    ask(Ask::Programs(Box::new(present), to));
                }
            }
            Work::Portrait(pid, t_ns, to) => {
                if let View::Watch { black_box, .. } = &self.view {
                    let _ = to.send(black_box.portrait(pid, t_ns));
                }
            }
            Work::Last => {}
            Work::Finish { t_ns, programs, skipped_runs } => {
                let account = Account { skipped_runs, ..self.account(programs) };
                self.finish(t_ns, account)?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn event(&mut self, event: &Event, ask: &mut impl FnMut(Ask)) -> io::Result<()> {
        match event {
            Event::Task(task) => ask(Ask::Task(Box::new(task.clone()))),
            Event::Advise(a) if a.advice == advice::FREE && a.call.result == 0 => ask(Ask::UsesFree(a.meta.tgid)),
            _ => {}
        }
        match &mut self.view {
            View::Stat { aggregator, creators, .. } => {
                aggregator.apply(event);
                if let Some(creators) = creators {
                    remember(creators, event);
                }
            }
            View::Watch { black_box, sites, dossiers } => {
                let (mut need, mut message) = (black_box.event(event), None);
                match event {
                    Event::Words(words) => ask(Ask::Words(words.clone())),
                    Event::Walk(walk) => ask(Ask::Walk(walk.clone())),
                    Event::Fatal(fatal) => {
                        let said = said(sites, event, fatal);
                        message.clone_from(&said.message);
                        need = black_box.fatal(said);
                    }
                    _ => {}
                }
                dossiers.tap.event(event, message.as_deref());
                if let (Some(need), Some(meta)) = (need, event.meta()) {
                    ask(Ask::Look { pid: meta.tgid, target: meta.target, need });
                }
            }
            View::Trace { text, names, sites, families, seen } => {
                let Some(meta) = event.meta() else { return Ok(()) };
                if let Event::Task(task) = event
                    && !matches!(task.what, TaskWhat::Kill { .. })
                    && names.len() < MAX_NAMES
                {
                    names.insert(meta.target, task.comm_text());
                }
                if *families & (1 << event.kind()) == 0 {
                    return Ok(());
                }
                *seen = true;
                let frames = sites.frames(event);
                let message = if let Event::Fatal(fatal) = event { sites.message(fatal) } else { None };
                let comm = names.get(&meta.target).map(String::as_str);
                let line = TraceLine { event, comm, stack: frames.as_deref(), message: message.as_deref() };
                match self.format {
                    Format::Text => text.write(&mut self.out, &line)?,
                    Format::Json => json::write_trace(&mut self.out, &line)?,
                }
            }
        }
        Ok(())
    }

    /// All that was to be told up to this time is told.
    fn beat(&mut self, [since_ns, t_ns]: [u64; 2], ask: &mut impl FnMut(Ask)) -> io::Result<()> {
        let account = self.account(Vec::new());
        let View::Watch { black_box, dossiers, .. } = &mut self.view else { return Ok(()) };
        dossiers.beat(&mut self.out, self.format, self.style, [since_ns, t_ns], black_box)?;
        dossiers.tap.beat(t_ns, black_box, account, ask);
        ration(black_box, t_ns);
        Ok(())
    }

    fn news(&mut self, news: News, ask: &mut impl FnMut(Ask)) -> io::Result<()> {
        if let News::Beat { since_ns, t_ns } = news {
            return self.beat([since_ns, t_ns], ask);
        }
        match (news, &mut self.view) {
            (News::Note(note), _) => {
                log::warn!("{note}");
                self.notes.push(note);
            }
            (News::Pressure(event), view) => {
                if let View::Watch { dossiers, .. } = view {
                    dossiers.told(&event.told);
                }
                self.event(&Event::Pressure(event), ask)?;
                if matches!(self.view, View::Trace { .. }) {
                    self.out.flush()?;
                }
            }
            (news, View::Watch { black_box, sites, dossiers }) => {
                if let News::Process(info) = &news {
                    sites.attach(info);
                }
                watched(black_box, &mut dossiers.tap, news);
            }
            (News::Process(info), View::Stat { aggregator, creators, .. }) => {
                if let Some(creators) = creators {
                    creators.0.attach(&info);
                }
                aggregator.register(info);
            }
            (News::Process(info), View::Trace { names, sites, .. }) => {
                sites.attach(&info);
                if let Some(comm) = info.comm {
                    names.insert(info.target, comm);
                }
            }
            (News::Where(target, cgroup), View::Stat { aggregator, .. }) => aggregator.is_in(target, cgroup),
            (News::NotMeant(target), View::Stat { aggregator, .. }) => aggregator.forget(target),
            (News::Gone(target), View::Stat { aggregator, .. }) => aggregator.gone(target),
            (News::NotMeant(target), View::Trace { names, .. }) => drop(names.remove(&target)),
            (News::Sample(sample), View::Stat { aggregator, .. }) => aggregator.apply(&Event::Sample(sample)),
            (News::Waterfall(target, fall), View::Stat { aggregator, .. }) => aggregator.divided(target, *fall),
            (News::Sample(_) | News::Waterfall(..) | News::Where(..) | News::Gone(_), View::Trace { .. }) => {}
            // Only a black box is told of these.
            (News::Point(..) | News::Closeup(_) | News::Workload(..) | News::Account(..), _) => {}
            (
                News::Words(..) | News::LastState(_) | News::AddressSpace(..) | News::KernelLine(_) | News::Beat { .. },
                _,
            ) => {}
        }
        Ok(())
    }

    pub(super) fn account(&self, programs: Vec<ProgramAccount>) -> Account {
        Account {
            programs,
            received: self.counts.received.load(Relaxed),
            shed: self.counts.shed.load(Relaxed),
            decoded: self.decoded,
            decode_errors: self.decode_errors,
            skipped_runs: None,
            exported: if let View::Watch { dossiers, .. } = &self.view { dossiers.exported() } else { None },
        }
    }

    fn tick(&mut self, t_ns: u64, programs: Vec<ProgramAccount>) -> io::Result<()> {
        let account = self.account(programs);
        let View::Stat { aggregator, interval, intervals: true, .. } = &mut self.view else { return Ok(()) };
        let snapshot = aggregator.tick(t_ns, account);
        match self.format {
            Format::Text => interval.write(&mut self.out, &snapshot)?,
            Format::Json => json::write_stat(&mut self.out, &snapshot)?,
        }
        self.out.flush()
    }

    fn finish(&mut self, t_ns: u64, account: Account) -> io::Result<()> {
        for violation in account.violations() {
            log::error!("loss account does not add up: {violation}");
        }
        match &mut self.view {
            View::Stat { aggregator, creators, .. } => {
                let mut snapshot = aggregator.finish(t_ns, account);
                if let Some(creators) = creators {
                    name_creators(&creators.1, &mut snapshot);
                }
                snapshot.notes.append(&mut self.notes);
                match self.format {
                    Format::Text => write_summary(&mut self.out, self.style, &snapshot)?,
                    Format::Json => json::write_stat(&mut self.out, &snapshot)?,
                }
            }
            View::Trace { text, seen, .. } => match self.format {
                Format::Text => {
                    if !*seen {
                        text.write_header(&mut self.out)?;
                    }
                    write_account(&mut self.out, self.style, &account)?;
                }
                Format::Json => json::write_trace_account(&mut self.out, t_ns, &account)?,
            },
            View::Watch { black_box, dossiers, .. } => {
                for dossier in black_box.finish() {
                    dossiers.write(&mut self.out, self.format, self.style, &dossier)?;
                }
                black_box.notes().iter().for_each(|note| log::warn!("{note}"));
                dossiers.tap.finish(t_ns, black_box, &account)?;
                dossiers.finish(&mut self.out, self.format, self.style, t_ns, &account)?;
            }
        }
        self.out.flush()
    }
}

mod black_box;
mod creators;
#[cfg(test)]
mod tests;
