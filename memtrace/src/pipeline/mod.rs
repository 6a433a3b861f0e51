//! The only place that knows all stages. Three execution units and their bounded channels:
//! the drain (this thread, tokio), the processing thread, the follower thread.
//!
//! Full-policy: drain → processing sheds batches and counts them; processing → follower drops and the next tick makes it
//! good; follower → processing waits, the follower can afford it.
mod agent;
mod cgroup;
mod child;
mod dossiers;
mod drain;
mod explain;
mod export;
mod follow;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod oom;
mod pressure;
mod profile;
mod ps;
#[cfg_attr(not(feature = "record"), path = "recording/absent.rs")]
mod recording;
mod reload;
#[cfg(feature = "record")]
mod replay;
mod sites;
mod spill;
mod start;
mod supervisor;
mod watch;
mod work;

pub use agent::{agent, check};
pub use cgroup::cgroup;
pub use child::{EXEC_ARGUMENT, exec_main};
pub use explain::explain;
pub use oom::oom;
pub use profile::profile;
pub use ps::ps;
#[cfg(feature = "record")]
pub use recording::record;
#[cfg(feature = "record")]
pub use replay::replay;
pub use watch::watch_oom;

use crate::config::{Session, Stat, Targets, Trace};
use crate::decode::Decoder;
use crate::enrich::{FollowError, Follower, News, Selector, Watcher};
use crate::error::Error;
use crate::procfs::clock;
use crate::procfs::process::spare_from_oom;
use crate::sink::text::Style;
use crate::source::ring::{Drain, DrainCounts};
use agent::Served;
use child::TracedChild;
use drain::{Haste, Loop};
use follow::{Order, Orders, Told, follow};
use reload::Reload;
use start::{Filter, Started};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;
use supervisor::Supervisor;
use work::{Processing, Work};

/// Batches between drain and processing: 1024 × 128 KiB bounds the queue at 128 MiB.
const QUEUE_BATCHES: usize = 1024;
/// So much of its news the follower hands on together.
const NEWS_AT_ONCE: usize = 64;
/// The samplers' clock when no interval is asked for.
const SAMPLE: Duration = Duration::from_secs(1);
/// Processes whose whole RSS `stat` divides, at the start and at the end: as many as its report shows in text.
const DIVIDED: usize = 20;

/// `memtrace stat`.
pub fn stat(config: Stat, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    let filter = Filter { families: u32::MAX, stacks: config.stacks, ..Filter::default() };
    let mut started = start::start(&config.session, filter)?;
    let decoder = Decoder { page_bytes: started.host.facts.page_bytes };
    let (session, style) = (&config.session, Style { color: config.session.color });
    let intervals = config.interval.is_some();
    let stacks = started.stacks.take().filter(|_| config.stacks);
    let processing = Processing::stat(decoder, clock::monotonic_ns(), session.format, style, intervals, stacks, out);
    let sampling = Sampling { interval: config.interval, looks: DIVIDED, ..Sampling::default() };
    run(session, started, processing, decoder, sampling)
}

/// `memtrace trace`.
pub fn trace(config: Trace, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    let Trace { session, families, min_bytes, stacks } = config;
    let go_fatal = families & (1 << memtrace_common::kind::TASK) != 0;
    let filter = Filter { families, min_bytes, stacks, go_fatal, ..Filter::default() };
    let mut started = start::start(&session, filter)?;
    let decoder = Decoder { page_bytes: started.host.facts.page_bytes };
    let style = Style { color: session.color };
    let stacks = started.stacks.take().filter(|_| stacks);
    let processing = Processing::trace(decoder, clock::monotonic_ns(), session.format, style, stacks, families, out);
    run(&session, started, processing, decoder, Sampling::default())
}

/// What the follower reads beside events.
#[derive(Default)]
struct Sampling {
    /// `None`: once a second, and no line for it. Of a black box: the shortest between two points.
    interval: Option<Duration>,
    /// Of how many processes the whole RSS is divided.
    looks: usize,
    watcher: Option<Watcher>,
    /// Of `agent`.
    served: Option<Served>,
    reload: Option<Reload>,
}

/// Why the run ends.
enum End {
    Asked,
    /// The last named target is gone.
    TargetsGone,
    /// Nobody reads the output any more.
    OutputClosed,
    Failed(Error),
}

/// What one look wrote is out; that nobody reads any more is no failure.
pub(crate) fn written(out: &mut dyn Write, result: io::Result<()>) -> Result<(), Error> {
    match result.and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Error::io("cannot write the output")),
    }
}

/// A text that is all there is to say.
pub fn print(mut out: impl Write, text: &str) -> Result<ExitCode, Error> {
    let result = out.write_all(text.as_bytes());
    written(&mut out, result).map(|()| ExitCode::SUCCESS)
}

fn run<W: Write + Send + 'static>(
    session: &Session,
    started: Started,
    processing: Processing<W>,
    decoder: Decoder,
    sampling: Sampling,
) -> Result<ExitCode, Error> {
    let Started { kernel, rings, proof, host, .. } = started;
    let mut selector = Selector::new(&session.targets, &host.facts).map_err(Error::NoTarget)?;
    selector.rule(session.rules.clone());
    let counts = Arc::new(DrainCounts::default());
    let processing = processing.accounting(counts.clone(), proof);
    let (work_in, work_out) = sync_channel(QUEUE_BATCHES);
    let (end_in, end_out) = tokio::sync::mpsc::unbounded_channel();
    let Sampling { interval, looks, watcher, served, reload } = sampling;
    let is_watch = watcher.is_some();
    let tick = interval.unwrap_or(SAMPLE);
    let has_lines = interval.is_some() && watcher.is_none();
    let is_awaited = Arc::new(AtomicBool::new(false));
    let haste = match kernel.sums_calls() {
        true => Haste::Wakeups,
        false if is_watch => Haste::Points(tick),
        false => Haste::Lines(tick),
    };
    let wheres = pressure::start(session.pressure.clone(), host.facts.cgroup.clone(), work_in.clone())?;
    let (serving, exporting) = served.map(|served| served.start(&work_in)).transpose()?.unzip();
    let facts = host.facts.cgroup.clone();
    let mut follower = Follower::new(kernel, selector, decoder, facts, looks).watching(watcher).telling_where(wheres);
    let (child, early) = add_targets(session, &mut follower)?;
    // Not before: a command that is started would inherit it.
    if is_watch && let Err(why) = spare_from_oom() {
        log::debug!("the OOM killer may choose memtrace, too: {why}");
    }
    let (orders, turns) = Orders::new(tick);
    let worker = {
        let (orders, end, is_awaited) = (orders.clone(), end_in.clone(), is_awaited.clone());
        let work = move || process(processing, work_out, orders, &end, &is_awaited);
        thread::Builder::new().name("processing".into()).spawn(work)
    }
    .map_err(Error::io("cannot start a thread"))?;
    // Who is there is known before anything is told of them.
    let _ = work_in.send(Work::News(early));
    let following = {
        let told = Told { work: work_in.clone(), end: end_in, is_awaited, has_lines };
        thread::Builder::new().name("follower".into()).spawn(move || follow(follower, turns, &told))
    }
    .map_err(Error::io("cannot start a thread"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("cannot start tokio"))?;
    let mut drain = Drain::new(rings, counts);
    let mut loop_ = Loop { drain: &mut drain, work: &work_in, orders: &orders, child, end: end_out, reload };
    let (end, code) = runtime.block_on(loop_.run(session.duration, is_watch, haste))?;
    let Loop { child, end: mut later, .. } = loop_;
    drop(serving);
    if is_watch {
        Supervisor::stopping();
    }
    // Detach first, then empty the rings: what was submitted is what will be received. When the processing thread has
    // seen the last of it, the follower, told all that concerned it, takes its last look and finishes.
    let (detached_in, detached_out) = sync_channel(1);
    orders.send(Order::Detach(detached_in));
    drop(orders);
    let _ = detached_out.recv();
    drain.drain(|batch| work_in.send(Work::Batch(batch)).is_ok());
    let _ = work_in.send(Work::Last);
    drop(work_in);
    let _ = (following.join(), worker.join());
    drop(exporting);
    // What was written last may be what did not fit.
    let ends = std::iter::once(end).chain(std::iter::from_fn(|| later.try_recv().ok()));
    let failure = ends.into_iter().find_map(|end| if let End::Failed(error) = end { Some(error) } else { None });
    match (failure, child.and_then(|child| child.status())) {
        (None, _) => Ok(code.unwrap_or(ExitCode::SUCCESS)),
        (Some(error), None) => Err(error),
        (Some(error), Some(status)) => Err(Error::BesideCommand { error: Box::new(error), status }),
    }
}

/// And what is to be told of them, which nobody reads yet.
fn add_targets(session: &Session, follower: &mut Follower) -> Result<(Option<TracedChild>, Vec<News>), Error> {
    let mut early = Vec::new();
    let mut tell = |news| early.push(news);
    let mut child = None;
    match &session.targets {
        Targets::Pids(pids) => {
            let mut gone = None;
            let mut any = false;
            for pid in pids {
                match follower.name(*pid, &mut tell) {
                    Ok(()) => any = true,
                    Err(e @ FollowError::Gone(_)) => gone = Some(e),
                    Err(FollowError::Kernel(e)) => return Err(e.into()),
                }
            }
            match gone {
                Some(e) if !any => return Err(Error::NoTarget(e.to_string())),
                Some(e) => log::warn!("{e}"),
                None => {}
            }
        }
        Targets::Command(command) => {
            let traced = TracedChild::start(command)?;
            follower.name_held(traced.pid(), command, &mut tell).map_err(|e| Error::NoTarget(e.to_string()))?;
            child = Some(traced);
        }
        _ => {
            follower.judge_early(&mut tell).map_err(|e| Error::Host(e.to_string()))?;
            follower.scan(&mut tell).map_err(|e| Error::NoTarget(e.to_string()))?;
        }
    }
    Ok((child, early))
}

fn process<W: Write>(
    mut processing: Processing<W>,
    work: Receiver<Work>,
    orders: Orders,
    end: &tokio::sync::mpsc::UnboundedSender<End>,
    is_awaited: &AtomicBool,
) {
    let mut orders = Some(orders);
    for piece in work {
        if matches!(piece, Work::Last) {
            orders = None;
            continue;
        }
        let mut ask = |ask| orders.as_ref().map_or((), |orders| orders.ask(ask));
        match processing.take(piece, &mut ask) {
            Ok(false) => is_awaited.store(processing.awaits_beats(), Relaxed),
            Ok(true) => return,
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                let _ = end.send(End::OutputClosed);
                return;
            }
            Err(source) => {
                let _ = end.send(End::Failed(Error::Io { what: "cannot write the output", source }));
                return;
            }
        }
    }
}
