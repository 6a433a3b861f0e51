//! The only place that knows all stages. Three execution units and their bounded channels:
//! the drain (this thread, tokio), the processing thread, the follower thread.
//!
//! Full-policy: drain → processing sheds batches and counts them; processing → follower drops and the next tick makes it
//! good; follower → processing waits, the follower can afford it.
mod child;
mod explain;
mod profile;
mod ps;
mod sites;
mod start;
mod work;

pub use child::{EXEC_ARGUMENT, exec_main};
pub use explain::explain;
pub use profile::profile;
pub use ps::ps;

use crate::config::{Session, Stat, Targets, Trace};
use crate::decode::Decoder;
use crate::enrich::{FollowError, Follower, News, Selector};
use crate::error::Error;
use crate::procfs::clock;
use crate::sink::text::Style;
use crate::source::ring::{Drain, DrainCounts};
use child::TracedChild;
use start::{Filter, Started};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use work::{Ask, Processing, Work};

/// Batches between drain and processing: 1024 × 128 KiB bounds the queue at 128 MiB.
const QUEUE_BATCHES: usize = 1024;
/// Task events between processing and follower.
const QUEUE_TASKS: usize = 65536;
/// The drain's timer: ring bytes ≥ rate × this × record size.
const DRAIN: Duration = Duration::from_millis(5);
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
    run(session, started, processing, decoder, config.interval, DIVIDED)
}

/// `memtrace trace`.
pub fn trace(config: Trace, out: impl Write + Send + 'static) -> Result<ExitCode, Error> {
    let filter = Filter { families: config.families, min_bytes: config.min_bytes, stacks: config.stacks };
    let mut started = start::start(&config.session, filter)?;
    let decoder = Decoder { page_bytes: started.host.facts.page_bytes };
    let (session, style) = (&config.session, Style { color: config.session.color });
    let stacks = started.stacks.take().filter(|_| config.stacks);
    let processing =
        Processing::trace(decoder, clock::monotonic_ns(), session.format, style, stacks, config.families, out);
    run(session, started, processing, decoder, None, 0)
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

/// What the follower is asked to do.
enum Order {
    Ask(Ask),
    Tick,
    /// Ends all attachments and says so; the queue's end is the order to stop.
    Detach(SyncSender<()>),
}

fn run<W: Write + Send + 'static>(
    session: &Session,
    started: Started,
    processing: Processing<W>,
    decoder: Decoder,
    interval: Option<Duration>,
    looks: usize,
) -> Result<ExitCode, Error> {
    let Started { kernel, rings, proof, host, .. } = started;
    let selector = Selector::new(&session.targets, &host.facts).map_err(Error::NoTarget)?;
    let counts = Arc::new(DrainCounts::default());
    let processing = processing.accounting(counts.clone(), proof);
    let (work_in, work_out) = sync_channel(QUEUE_BATCHES);
    let (orders_in, orders_out) = sync_channel(QUEUE_TASKS);
    let (end_in, end_out) = tokio::sync::mpsc::unbounded_channel();
    let mut follower = Follower::new(kernel, selector, decoder, looks);
    let child = add_targets(session, &mut follower, &work_in)?;
    let worker = {
        let (orders, end) = (orders_in.clone(), end_in.clone());
        thread::Builder::new().name("processing".into()).spawn(move || process(processing, work_out, orders, &end))
    }
    .map_err(Error::io("cannot start a thread"))?;
    let following = {
        let work = work_in.clone();
        thread::Builder::new()
            .name("follower".into())
            .spawn(move || follow(follower, &orders_out, &work, &end_in, interval.is_some()))
    }
    .map_err(Error::io("cannot start a thread"))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("cannot start tokio"))?;
    let mut drain = Drain::new(rings, counts);
    let mut loop_ = Loop { drain: &mut drain, work: &work_in, orders: &orders_in, child, end: end_out };
    let (end, code) = runtime.block_on(loop_.run(session.duration, interval.unwrap_or(SAMPLE)))?;
    // Detach first, then empty the rings: what was submitted is what will be received. When the processing thread has
    // seen the last of it, the follower, told all that concerned it, takes its last look and finishes.
    let (detached_in, detached_out) = sync_channel(1);
    let _ = orders_in.send(Order::Detach(detached_in));
    drop(orders_in);
    let _ = detached_out.recv();
    drain.drain(|batch| work_in.send(Work::Batch(batch)).is_ok());
    let _ = work_in.send(Work::Last);
    drop(work_in);
    let _ = (following.join(), worker.join());
    match end {
        End::Failed(e) => Err(e),
        End::Asked | End::TargetsGone | End::OutputClosed => Ok(code.unwrap_or(ExitCode::SUCCESS)),
    }
}

fn add_targets(
    session: &Session,
    follower: &mut Follower,
    work: &SyncSender<Work>,
) -> Result<Option<TracedChild>, Error> {
    // The queue is empty and nobody reads yet: what one start-up scan says fits, or waits for the threads.
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
            follower.name_held(traced.pid(), &mut tell).map_err(|e| Error::NoTarget(e.to_string()))?;
            child = Some(traced);
        }
        _ => {
            follower.judge_early(&mut tell).map_err(|e| Error::Host(e.to_string()))?;
            follower.scan(&mut tell).map_err(|e| Error::NoTarget(e.to_string()))?;
        }
    }
    let work = work.clone();
    // Own thread for the hand-over: thousands of processes may be more than the queue holds before it is read.
    thread::spawn(move || early.into_iter().all(|news| work.send(Work::News(news)).is_ok()));
    Ok(child)
}

fn process<W: Write>(
    mut processing: Processing<W>,
    work: Receiver<Work>,
    orders: SyncSender<Order>,
    end: &tokio::sync::mpsc::UnboundedSender<End>,
) {
    let mut orders = Some(orders);
    for piece in work {
        if matches!(piece, Work::Last) {
            orders = None;
            continue;
        }
        let mut ask = |ask| drop(orders.as_ref().map(|o| o.try_send(Order::Ask(ask))));
        match processing.take(piece, &mut ask) {
            Ok(false) => {}
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

fn follow(
    mut follower: Follower,
    orders: &Receiver<Order>,
    work: &SyncSender<Work>,
    end: &tokio::sync::mpsc::UnboundedSender<End>,
    intervals: bool,
) {
    let mut tell = |news: News| drop(work.send(Work::News(news)));
    let failed = |e: FollowError| {
        let _ = end.send(End::Failed(match e {
            FollowError::Kernel(e) => e.into(),
            FollowError::Gone(_) => Error::NoTarget(e.to_string()),
        }));
    };
    let mut end_ns = clock::monotonic_ns();
    for order in orders {
        let done = match order {
            Order::Ask(Ask::Task(event)) => follower.task(&event, &mut tell).map(|last| {
                if last {
                    let _ = end.send(End::TargetsGone);
                }
            }),
            Order::Ask(Ask::UsesFree(pid)) => {
                follower.uses_free(pid);
                Ok(())
            }
            Order::Tick => follower.tick(&mut tell).and_then(|()| {
                if intervals {
                    let programs = follower.counters()?;
                    let _ = work.send(Work::Tick { t_ns: clock::monotonic_ns(), programs });
                }
                Ok(())
            }),
            Order::Detach(done) => {
                let window = follower.detach(&mut tell).map(|t_ns| end_ns = t_ns);
                let _ = done.send(());
                window
            }
        };
        done.unwrap_or_else(failed);
    }
    follower.stop(&mut tell);
    let programs = follower.counters().unwrap_or_default();
    let _ = work.send(Work::Finish { t_ns: end_ns, programs });
}

#[expect(deprecated, reason = "its unsafe successor is for types whose fd may change; an OwnedFd's does not")]
fn watch(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, Error> {
    AsyncFd::new(fd).map_err(Error::io("cannot watch the rings"))
}

/// The drain and everything that can end a run.
struct Loop<'a> {
    drain: &'a mut Drain,
    work: &'a SyncSender<Work>,
    orders: &'a SyncSender<Order>,
    child: Option<TracedChild>,
    end: UnboundedReceiver<End>,
}

impl Loop<'_> {
    async fn run(&mut self, duration: Option<Duration>, tick: Duration) -> Result<(End, Option<ExitCode>), Error> {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("cannot watch signals"))?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("cannot watch signals"))?;
        let fds = self.drain.wakeup_fds().map_err(Error::io("cannot watch the rings"))?;
        let [events, urgent] = fds;
        let events = watch(events)?;
        let urgent = watch(urgent)?;
        let mut timer = tokio::time::interval(DRAIN);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = tokio::time::interval(tick);
        ticks.tick().await;
        let deadline = async {
            match duration {
                Some(d) => tokio::time::sleep(d).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(deadline);
        if let Some(child) = &mut self.child {
            child.go()?;
        }
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                Ok(mut ready) = events.readable() => ready.clear_ready(),
                Ok(mut ready) = urgent.readable() => ready.clear_ready(),
                _ = ticks.tick() => drop(self.orders.try_send(Order::Tick)),
                () = &mut deadline => return Ok((End::Asked, self.end_child())),
                _ = interrupt.recv() => return Ok((End::Asked, self.end_child())),
                _ = terminate.recv() => return Ok((End::Asked, self.end_child())),
                Some(end) = self.end.recv() => {
                    let gone = matches!(end, End::TargetsGone);
                    let code = self.child.as_mut().and_then(|c| if gone { c.reap() } else { c.finish() });
                    return Ok((end, code));
                }
            }
            self.drain.drain(|batch| self.work.try_send(Work::Batch(batch)).is_ok());
            if let Some(code) = self.child.as_mut().and_then(TracedChild::ended) {
                return Ok((End::TargetsGone, Some(code)));
            }
        }
    }

    fn end_child(&mut self) -> Option<ExitCode> {
        self.child.as_mut().and_then(TracedChild::finish)
    }
}
