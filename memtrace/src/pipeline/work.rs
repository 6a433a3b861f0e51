//! The processing thread: decode, aggregate or print; synchronous, no I/O but its own output.
use super::sites::Sites;
use crate::account::{Account, ProgramAccount};
use crate::aggregate::{AggregateConfig, Aggregator, Creators};
use crate::config::Format;
use crate::decode::Decoder;
use crate::enrich::News;
use crate::event::{Event, TargetId, TaskEvent, TaskWhat};
use crate::kernel::{Proof, Stacks};
use crate::sink::text::{IntervalText, Style, TraceText, write_account, write_summary};
use crate::sink::{TraceLine, json};
use crate::snapshot::Snapshot;
use crate::source::ring::{Batch, DrainCounts};
use memtrace_common::advice;
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Everything the processing thread is given, in the order it came.
pub(super) enum Work {
    Batch(Batch),
    News(News),
    Tick {
        t_ns: u64,
        programs: Vec<ProgramAccount>,
    },
    /// The last of the rings has been handed on; only the follower has more to say.
    Last,
    Finish {
        t_ns: u64,
        programs: Vec<ProgramAccount>,
    },
}

/// What it asks of the follower while it works.
pub(super) enum Ask {
    Task(Box<TaskEvent>),
    UsesFree(u32),
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
        sites: Option<Box<Sites>>,
        /// Bits 1 << kind: what is shown; tasks are always received, since targets are followed by them.
        families: u32,
        seen: bool,
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
        let creators = stacks.map(|stacks| Box::new((Sites::new(stacks), Creators::default())));
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
        let sites = stacks.map(|stacks| Box::new(Sites::new(stacks)));
        let text = TraceText::new(style, start_ns);
        Self::new(
            decoder,
            View::Trace { text, names: HashMap::new(), sites, families, seen: false },
            format,
            style,
            out,
        )
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
            Work::News(news) => self.news(news),
            Work::Tick { t_ns, programs } => self.tick(t_ns, programs)?,
            Work::Last => {}
            Work::Finish { t_ns, programs } => {
                self.finish(t_ns, programs)?;
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
                let frames = sites.as_mut().and_then(|sites| sites.frames(event));
                let comm = names.get(&meta.target).map(String::as_str);
                let line = TraceLine { event, comm, stack: frames.as_deref() };
                match self.format {
                    Format::Text => text.write(&mut self.out, &line)?,
                    Format::Json => json::write_trace(&mut self.out, &line)?,
                }
            }
        }
        Ok(())
    }

    fn news(&mut self, news: News) {
        match (news, &mut self.view) {
            (News::Process(info), View::Stat { aggregator, creators, .. }) => {
                if let Some(creators) = creators {
                    creators.0.attach(info.pid);
                }
                aggregator.register(info);
            }
            (News::Process(info), View::Trace { names, sites, .. }) => {
                if let Some(sites) = sites {
                    sites.attach(info.pid);
                }
                if let Some(comm) = info.comm {
                    names.insert(info.target, comm);
                }
            }
            (News::NotMeant(target), View::Stat { aggregator, .. }) => aggregator.forget(target),
            (News::NotMeant(target), View::Trace { names, .. }) => drop(names.remove(&target)),
            (News::Sample(sample), View::Stat { aggregator, .. }) => aggregator.apply(&Event::Sample(sample)),
            (News::Waterfall(target, fall), View::Stat { aggregator, .. }) => aggregator.divided(target, *fall),
            (News::Sample(_) | News::Waterfall(..), View::Trace { .. }) => {}
            (News::Note(note), _) => {
                log::warn!("{note}");
                self.notes.push(note);
            }
        }
    }

    fn account(&self, programs: Vec<ProgramAccount>) -> Account {
        Account {
            programs,
            received: self.counts.received.load(Relaxed),
            shed: self.counts.shed.load(Relaxed),
            decoded: self.decoded,
            decode_errors: self.decode_errors,
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

    fn finish(&mut self, t_ns: u64, programs: Vec<ProgramAccount>) -> io::Result<()> {
        let account = self.account(programs);
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
        }
        self.out.flush()
    }
}

/// Who mapped what; a new program has none of the mappings of the one before.
fn remember((sites, creators): &mut (Sites, Creators), event: &Event) {
    match event {
        Event::Map(map) => creators.apply(map, || sites.creator(map)),
        Event::Task(task) if matches!(task.what, TaskWhat::Exec { .. } | TaskWhat::Exit { .. }) => {
            creators.forget_all(task.meta.target);
        }
        _ => {}
    }
}

fn name_creators(creators: &Creators, snapshot: &mut Snapshot) {
    for process in &mut snapshot.processes {
        if let [_, Some(end)] = &mut process.waterfalls {
            creators.name(process.target, end);
        }
    }
    if creators.left_out > 0 {
        snapshot.notes.push(format!("{} mappings have no creator: there was no room for more", creators.left_out));
    }
}
